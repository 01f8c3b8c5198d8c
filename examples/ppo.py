"""PPO of stable-baselines3 that never does worse than what it began with, by wrapping its optimiser.

A slow controller holds Gymnasium's Pendulum-v1 upright, and PPO learns a torque that is added to it.  PPO's own
optimiser is replaced by the wrapped one; nothing else of it changes.  From no start may the policy, without exploration
noise, cost more than 0.05 above what the slow controller costs alone.
"""

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import PPO

import scpo
from examples.compare import Run, compare

UPDATES, OBJECTIVE, CONSTRAINT = 192, "mean cost (lower is better)", "worst extra cost - 0.05"
STARTS, STEPS, LIMIT = 6, 50, 0.05


class Held(gym.Wrapper):
    """Pendulum-v1, begun near upright and held by a slow controller, to whose torque the action is added."""

    def reset(self, *, seed=None, options=None):
        """Begin within 0.3 rad of upright, slower than 0.1 rad/s."""
        return super().reset(seed=seed, options={"x_init": 0.3, "y_init": 0.1})

    def step(self, action):
        """Add the slow controller's torque."""
        angle, speed = self.unwrapped.state
        return super().step(action - 6.0 * np.sin(angle) - 2.0 * speed)


SIMULATORS = [Held(gym.make("Pendulum-v1", disable_env_checker=True)) for _ in range(STARTS)]


def costs(actor):
    """Return the cost of an episode from each start, without noise."""
    seen = np.stack([env.reset(seed=seed)[0] for seed, env in enumerate(SIMULATORS)])
    total = np.zeros(STARTS)
    for _ in range(STEPS):
        with torch.no_grad():
            torques = actor(torch.from_numpy(seen)).clamp(-2.0, 2.0).numpy()
        steps = [env.step(torque) for env, torque in zip(SIMULATORS, torques, strict=True)]
        seen = np.stack([step[0] for step in steps])
        total -= [step[1] for step in steps]
    return total


ALONE = costs(lambda seen: torch.zeros(STARTS, 1))  # of the slow controller


def rollout(actor):
    """Return the mean cost, and what each start costs more than with the slow controller alone, minus LIMIT."""
    found = costs(actor)
    return found.mean(), found - ALONE - LIMIT


def constraint(actor):
    """Return g, which is safe where no value is above 0."""
    return rollout(actor)[1]


def train(run: Run):
    """Let PPO learn; every 256 steps of the simulator it takes 12 updates."""
    env = Held(gym.make("Pendulum-v1", max_episode_steps=STEPS))
    ppo = PPO("MlpPolicy", env, n_steps=256, batch_size=64, n_epochs=3, learning_rate=1e-3, seed=0)
    actor = torch.nn.Sequential(ppo.policy.mlp_extractor.policy_net, ppo.policy.action_net)
    if run.wrapped:  # the optimiser holds the critic's parameters, too, and steps them as they are
        angle, speed = torch.meshgrid(torch.linspace(-0.3, 0.3, 9), torch.linspace(-0.5, 0.5, 5), indexing="ij")
        states = torch.stack([angle.cos(), angle.sin(), speed], dim=-1).reshape(-1, 3)
        directions = scpo.Tangent(states, count=8)
        ppo.policy.optimizer = scpo.SafeOptimizer(ppo.policy.optimizer, actor, constraint, directions=directions)
    ppo.policy.optimizer.register_step_post_hook(lambda *_: run.look(actor))
    ppo.learn(256 * -(-run.updates // 12))
    return actor, ppo.policy.optimizer


if __name__ == "__main__":
    compare("ppo", train, rollout, UPDATES, OBJECTIVE, CONSTRAINT)
