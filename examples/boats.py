"""A vector environment as one batched constraint: boats must not touch a buoy, in a current that the model leaves out.

The boats of all probed policies are environments of one gymnasium.vector.VectorEnv, which moves them all in one call.
The gradient comes from boats in still water.  The distance to the buoy is measured where the water flows.
"""

import gymnasium as gym
import torch

import scpo
from examples.compare import COLORS, Run, compare

UPDATES, OBJECTIVE, CONSTRAINT = 150, "mean distance to goal, m (lower is better)", "0.5 m - distance to buoy"
STEPS, DT, RADIUS = 40, 0.15, 0.5
GOAL, BUOY, STILL, CURRENT = torch.tensor([[2.0, 0.0], [0.0, 0.1], [0.0, 0.0], [0.0, 0.15]]).double()
STARTS = torch.cartesian_prod(torch.tensor([-2.0]), torch.linspace(-1.0, 1.0, 16)).double()


class Boats(gym.vector.VectorEnv):
    """Each boat goes where it is steered, at most 1 m/s through the water, and where the water takes it."""

    def reset(self, *, seed=None, options=None):
        """Put boats at ``options["starts"]`` (N, 2) into water that flows as ``options["current"]`` (2,)."""
        self.position, self.current = options["starts"], options["current"]
        return self.position, {}

    def step(self, actions):
        """Move all boats by one step."""
        speed = actions.norm(dim=1, keepdim=True).clamp(min=1.0)
        self.position = self.position + DT * (actions / speed + self.current)
        ended = torch.zeros(len(actions), dtype=torch.bool)
        return self.position, -(self.position - GOAL).norm(dim=1), ended, ended, {}


def courses(policy, current, parameters=None):
    """Return the positions (m, STEPS + 1, boats, 2) of m stacked parameter sets' boats; None: of the policy's own."""
    parameters = parameters or {name: value[None] for name, value in policy.named_parameters()}
    boats, sets = Boats(), len(parameters["biases.0"])
    positions = [boats.reset(options={"starts": STARTS.repeat(sets, 1), "current": current})[0]]
    for _ in range(STEPS):
        actions = policy.stacked(parameters, positions[-1].view(sets, -1, 2))
        positions.append(boats.step(actions.reshape(-1, 2))[0])
    return torch.stack([at.view(sets, -1, 2) for at in positions], dim=1)


def rollout(policy):
    """Return the mean distance to the goal, and RADIUS - distance to the buoy of every boat at every step."""
    positions = courses(policy, CURRENT).detach()
    return (positions - GOAL).norm(dim=-1).mean(), RADIUS - (positions - BUOY).norm(dim=-1)


def train(run: Run):
    """Lower the distance in still water by Adam; the first policy lets all boats drift."""
    policy = scpo.ResidualPolicy([2, 32, 2], "tanh", generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.01)
    if run.wrapped:
        states = torch.cartesian_prod(torch.linspace(-2.0, 2.0, 9), torch.linspace(-1.5, 1.5, 7)).double()
        constraint = scpo.Constraint(
            lambda sets: RADIUS - (courses(policy, CURRENT, sets) - BUOY).norm(dim=-1).flatten(1), batched=True
        )
        optimizer = scpo.SafeOptimizer(optimizer, policy, constraint, directions=scpo.Tangent(states, count=12))
    for _ in range(run.updates):
        optimizer.zero_grad()
        (courses(policy, STILL) - GOAL).norm(dim=-1).mean().backward()
        optimizer.step()
        run.look(policy)
    return policy, optimizer


def draw(ax, policies):
    """Draw the courses of the last policies around the buoy."""
    for name, policy in policies.items():
        ax.plot(*courses(policy, CURRENT)[0].detach().permute(2, 0, 1), color=COLORS[name], linewidth=0.8)
    angle = torch.linspace(0.0, 6.3, 100)
    ax.fill(BUOY[0] + RADIUS * angle.cos(), BUOY[1] + RADIUS * angle.sin(), color="0.7")
    ax.set_title("last courses, left to right", fontsize="medium")


if __name__ == "__main__":
    compare("boats", train, rollout, UPDATES, OBJECTIVE, CONSTRAINT, draw)
