"""MuJoCo's InvertedPendulum-v5: a student copies a teacher who is in too much of a hurry.

A cart carries a pole.  The teacher drives the cart to the middle fast, and tilts the pole by more than 0.1 rad.  The
student begins as a slow controller that tilts it little, and copies the teacher's forces.  The constraint is a rollout
in MuJoCo: the pole stays within 0.1 rad of upright, at every step and from every start.
"""

import gymnasium as gym
import numpy as np
import torch
from scipy.linalg import solve_discrete_are

import scpo
from examples.compare import Run, compare

UPDATES, OBJECTIVE, CONSTRAINT = 120, "mean distance, m (lower is better)", "worst tilt - 0.1 rad"
STARTS, STEPS, LIMIT = np.linspace(-0.4, 0.4, 4), 50, 0.1
SIMULATORS = [gym.make("InvertedPendulum-v5", disable_env_checker=True).unwrapped for _ in STARTS]


def linear_controller(weight):
    """Return the gain (1, 4) of the LQR controller that values the cart's distance by ``weight``."""
    env, after = SIMULATORS[0], []
    for nudge in 1e-4 * np.eye(6, 5, -1):  # none, and then of the two positions, the two speeds and the force
        env.reset(seed=0)
        env.set_state(nudge[:2], nudge[2:4])
        after.append(env.step(nudge[4:])[0])
    A, B = np.split((np.array(after[1:]) - after[0]).T / 1e-4, [4], axis=1)
    P = solve_discrete_are(A, B, np.diag([weight, 1.0, 0.1, 0.1]), np.eye(1))
    return torch.from_numpy(-np.linalg.solve(np.eye(1) + B.T @ P @ B, B.T @ P @ A))


def rollout(policy):
    """Return the cart's mean distance from the middle, and |tilt| - LIMIT of every start at every step, in MuJoCo."""
    for start, env in zip(STARTS, SIMULATORS, strict=True):
        env.reset(seed=0)
        env.set_state(np.array([start, 0.0]), np.zeros(2))
    seen, states = np.array([[start, 0.0, 0.0, 0.0] for start in STARTS]), []  # cart, pole, and their speeds
    for _ in range(STEPS):
        with torch.no_grad():
            forces = policy(torch.from_numpy(seen)).clamp(-3.0, 3.0).numpy()
        seen = np.stack([env.step(force)[0] for env, force in zip(SIMULATORS, forces, strict=True)])
        states.append(np.abs(seen))
    states = np.array(states)
    return states[:, :, 0].mean(), states[:, :, 1].ravel() - LIMIT


def constraint(policy):
    """Return g, which is safe where no value is above 0."""
    return rollout(policy)[1]


def train(run: Run):
    """Copy the teacher by Adam, from a slow controller on."""
    slow, teacher = (torch.nn.Linear(4, 1, bias=False).double() for _ in range(2))
    slow.weight.data, teacher.weight.data = linear_controller(0.1), linear_controller(100.0)
    generator = torch.Generator().manual_seed(0)
    policy = scpo.ResidualPolicy([4, 32, 1], "tanh", backup=slow, generator=generator)
    box = torch.tensor([0.4, 0.2, 0.5, 0.5], dtype=torch.float64)
    states = box * (2.0 * torch.rand(512, 4, generator=generator, dtype=torch.float64) - 1.0)
    wanted = teacher(states).detach().clamp(-3.0, 3.0)
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.02)
    if run.wrapped:
        optimizer = scpo.SafeOptimizer(optimizer, policy, constraint, directions=scpo.Tangent(states, count=8))
    for _ in range(run.updates):
        optimizer.zero_grad()
        (policy(states) - wanted).square().mean().backward()
        optimizer.step()
        run.look(policy)
    return policy, optimizer


if __name__ == "__main__":
    compare("inverted_pendulum", train, rollout, UPDATES, OBJECTIVE, CONSTRAINT)
