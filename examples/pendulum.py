"""Gymnasium's Pendulum-v1: the gradient comes from a rough model, safety from the simulator.

A pendulum is held upright.  Swinging back faster costs less, but the joint must not turn faster than 0.3 rad/s.  The
loss is the cost of rollouts in a model of a few lines that takes the pendulum for 20 % lighter than it is.  The
constraint is a rollout in Gymnasium, which is never differentiated.
"""

import gymnasium as gym
import numpy as np
import torch

import scpo
from examples.compare import Run, compare

UPDATES, OBJECTIVE, CONSTRAINT = 100, "mean cost (lower is better)", "worst speed - 0.3 rad/s"
STARTS, STEPS, LIMIT, DT = 6, 40, 0.3, 0.05
SIMULATORS = [gym.make("Pendulum-v1", disable_env_checker=True) for _ in range(STARTS)]


def rollout(policy):
    """Return the mean cost, and |speed| - LIMIT of every start at every step, in Gymnasium."""
    near = {"x_init": 0.3, "y_init": 0.1}  # within 0.3 rad of upright, slower than 0.1 rad/s
    seen = np.stack([env.reset(seed=seed, options=near)[0] for seed, env in enumerate(SIMULATORS)])
    cost, speeds = 0.0, []
    for _ in range(STEPS):
        with torch.no_grad():
            torques = policy(torch.from_numpy(seen).double()).numpy()
        steps = [env.step(torque) for env, torque in zip(SIMULATORS, torques, strict=True)]
        seen = np.stack([step[0] for step in steps])
        cost -= np.mean([step[1] for step in steps])
        speeds.append(seen[:, 2].astype(float))
    return cost, np.abs(speeds).ravel() - LIMIT


def constraint(policy):
    """Return g, which is safe where no value is above 0."""
    return rollout(policy)[1]


def model_cost(policy, mass=0.8):
    """Return the mean cost in the model, with a gradient."""
    angle, speed = torch.linspace(-0.3, 0.3, 8, dtype=torch.float64), torch.zeros(8, dtype=torch.float64)
    cost = 0.0
    for _ in range(STEPS):
        torque = policy(torch.stack([angle.cos(), angle.sin(), speed], dim=1))[:, 0].clamp(-2.0, 2.0)
        cost = cost + angle.square() + 0.1 * speed.square() + 0.001 * torque.square()
        speed = speed + (15.0 * angle.sin() + 3.0 / mass * torque) * DT
        angle = angle + speed * DT
    return cost.mean()


def train(run: Run):
    """Lower the model's cost by Adam; the first policy is a slow linear controller."""
    backup = torch.nn.Linear(3, 1, bias=False).double()
    backup.weight.data = torch.tensor([[0.0, -6.0, -2.0]], dtype=torch.float64)
    policy = scpo.ResidualPolicy([3, 16, 1], "tanh", backup=backup, generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.02)
    if run.wrapped:
        angle, speed = torch.meshgrid(torch.linspace(-0.3, 0.3, 9), torch.linspace(-LIMIT, LIMIT, 5), indexing="ij")
        states = torch.stack([angle.cos(), angle.sin(), speed], dim=-1).reshape(-1, 3).double()
        optimizer = scpo.SafeOptimizer(optimizer, policy, constraint, directions=scpo.Tangent(states, count=8))
    for _ in range(run.updates):
        optimizer.zero_grad()
        model_cost(policy).backward()
        optimizer.step()
        run.look(policy)
    return policy, optimizer


if __name__ == "__main__":
    compare("pendulum", train, rollout, UPDATES, OBJECTIVE, CONSTRAINT)
