"""A fair classifier: a bank learns from unfair decisions of the past, and must treat two groups alike.

The groups are equally able, but the past decisions asked more of group B, and one of the features, the district, gives
the group away.  The bank learns to predict the decisions.  The mean chance of a loan in group A may differ from that
in group B by 0.05 at most.
"""

import numpy as np
import torch

import scpo
from examples.compare import COLORS, Run, compare

UPDATES, OBJECTIVE, CONSTRAINT = 200, "log loss (lower is better)", "difference of groups - 0.05"
LIMIT = 0.05


def people(count, seed):
    """Return features (count, 3), past decisions (count,) and membership of group B (count,)."""
    rng = np.random.default_rng(seed)
    group = rng.random(count) < 0.3
    ability = rng.normal(size=count)
    grades = ability[:, None] + rng.normal(0.0, [0.5, 0.8], (count, 2))
    district = np.where(group, 1.0, -1.0) + rng.normal(0.0, 0.7, count)
    decision = ability - 0.8 * group + rng.normal(0.0, 0.4, count) > 0.0
    features = np.column_stack([grades, district])
    return torch.from_numpy(features), torch.from_numpy(decision.astype(float)), group


FEATURES, DECISIONS, GROUP = people(2000, seed=0)


def chances(policy, features):
    """Return the chance (people,) of a loan that a policy gives."""
    with torch.no_grad():
        return policy(features)[:, 0].sigmoid().numpy()


def rollout(policy):
    """Return the log loss, and g of both directions."""
    given = chances(policy, FEATURES)
    gap = given[~GROUP].mean() - given[GROUP].mean()
    loss = np.where(DECISIONS > 0.5, -np.log(given), -np.log1p(-given)).mean()
    return loss, np.array([gap, -gap]) - LIMIT


def constraint(policy):
    """Return g, which is safe where no value is above 0."""
    return rollout(policy)[1]


def train(run: Run):
    """Learn the past decisions by Adam; the first policy gives everyone the same chance."""
    policy = scpo.ResidualPolicy([3, 16, 1], "tanh", generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.02)
    if run.wrapped:
        optimizer = scpo.SafeOptimizer(optimizer, policy, constraint, directions=scpo.Tangent(FEATURES, count=8))
    loss = torch.nn.BCEWithLogitsLoss()
    for _ in range(run.updates):
        optimizer.zero_grad()
        loss(policy(FEATURES)[:, 0], DECISIONS).backward()
        optimizer.step()
        run.look(policy)
    return policy, optimizer


def draw(ax, policies):
    """Draw what share of each group gets a loan among people that nobody has seen before, at a chance of a half."""
    features, _, group = people(20_000, seed=1)
    for place, (name, policy) in enumerate(policies.items()):
        given = chances(policy, features) > 0.5
        shares = [given[~group].mean(), given[group].mean()]
        ax.bar(np.arange(2) + 0.4 * place - 0.2, shares, 0.38, color=COLORS[name])
    ax.set_xticks([0, 1], ["group A", "group B"])
    ax.set_title("share with a loan, new people", fontsize="medium")


if __name__ == "__main__":
    compare("fairness", train, rollout, UPDATES, OBJECTIVE, CONSTRAINT, draw)
