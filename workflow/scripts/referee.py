"""The referee judges every saved policy again, from its weights, and compares its values with the records.

Usage: python referee.py RESULTS OUTPUT [EXPERIMENT/ARM/seed-SEED]

RESULTS is a folder such as results/paper: config.json beside one folder for each experiment.  With a third argument one
run is judged alone.  The referee recomputes the constraint and the losses from their definitions and writes a summary
to OUTPUT.  Of audited iterates, a random share and those nearest to the limit, it recomputes the constraint, and by how
much it exceeds the bound that was promised.  It ends with status 1, and writes
nothing, if a value differs from the recorded one, if a run is missing, or if it has no judge for an experiment or arm.

It uses NumPy, pandas (to read tables) and nothing of the code that made the records.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

#: Largest accepted difference between a recorded and a recomputed value: absolute up to 1, relative above.
TOLERANCE = 1e-9
#: The costly held-out rollouts are repeated for every fifth saved policy and for the last one.
EVERY = 5


def stop(message):
    """End the job with status 1 and a message."""
    sys.exit(f"referee: {message}")


# ---------------------------------------------------------------------------------------------------------------------
# Reading


def load_arrays(path):
    """Return name -> array of an .npz archive."""
    with np.load(path) as archive:
        return dict(archive)


def load_table(path):
    """Return a table with one row for each recorded update, indexed by the update's number."""
    return pd.read_parquet(path).set_index("update")


def apply_overrides(settings, overrides):
    """Return an experiment's settings with those of one arm in their place, section by section."""
    result = dict(settings)
    for key, value in overrides.items():
        if isinstance(value, dict) and key in result:
            result[key] = apply_overrides(result[key], value)
        else:
            result[key] = value
    return result


# ---------------------------------------------------------------------------------------------------------------------
# The policy's network

ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0.0),
    "tanh": np.tanh,
    "softplus": lambda x: np.logaddexp(x, 0.0),  # log(exp(x) + exp(0))
}


class Network:
    """A network of dense layers whose weights are given as one vector theta.

    Args:
        names: names of the parameters in theta, in their order: weights.0, biases.0, weights.1 ...
        shapes: (number of parameters, 2): their shapes; a bias has the shape (width, 0), where 0 stands for no axis.
        activation: applied between layers, not after the last one.
    """

    def __init__(self, names, shapes, activation):
        if activation not in ACTIVATIONS:
            stop(f"no judge for networks with the activation {activation!r}")
        self.names = [str(name) for name in names]
        self.shapes = [tuple(int(side) for side in shape if side > 0) for shape in shapes]
        self.activation = ACTIVATIONS[activation]

    def __call__(self, theta, x):
        """Return the outputs (S, outputs) at the inputs x (S, inputs)."""
        parameters = {}
        start = 0
        for name, shape in zip(self.names, self.shapes, strict=True):
            end = start + int(np.prod(shape))
            parameters[name] = theta[start:end].reshape(shape)
            start = end
        if start != len(theta):
            stop(f"the saved weights have {len(theta)} entries and their shapes ask for {start}")
        for layer in range(len(parameters) // 2):
            if layer > 0:
                x = self.activation(x)
            x = x @ parameters[f"weights.{layer}"] + parameters[f"biases.{layer}"]
        return x


# ---------------------------------------------------------------------------------------------------------------------
# Regression: fit f on [-pi, pi] subject to |policy(x)| <= bound


class Regression:
    """Judge of one run of the regression.

    Args:
        settings: the arm's settings.
        data: the arrays of the run's data set.
        folder: of the run.
    """

    def __init__(self, settings, data, folder):
        self.activation = settings["activation"]
        self.bound = settings["bound"]
        # The constraint is trained on this grid, ...
        self.grid = np.linspace(-np.pi, np.pi, settings["grid_size"])
        # ... tested between its points, at the middles of as many equal cells as there are held-out inputs, ...
        self.heldout = data["heldout"]
        cells = len(self.heldout)
        self.dense = -np.pi + 2 * np.pi * (np.arange(cells) + 0.5) / cells
        # ... and the uniform loss is measured on this one.
        self.uniform = np.linspace(-np.pi, np.pi, 1000)

    def constraints(self, network):
        """Return the training constraint g (k,) of one policy: two for each point of the grid, |policy(x)| <= bound."""
        y = network(self.grid[:, None])[:, 0]
        return np.concatenate([y - self.bound, -y - self.bound])

    def quantities(self, network, thorough):
        """Return name -> value for one policy; ``network`` maps x (S, 1) to (S, 1).  Everything is cheap here."""

        def policy(x):
            # The policy starts from zero, so it is the network itself.  Parts of 1,000 inputs fit the cache.
            parts = np.array_split(x[:, None], len(x) // 1000 + 1)
            return np.concatenate([network(part) for part in parts])[:, 0]

        def target(x):
            return np.sin(x) + np.sin(3 * x) + np.sin(7 * x)

        at_heldout = policy(self.heldout)
        # The best policy within the bound predicts the target clipped to it.
        clipped_target = np.clip(target(self.heldout), -self.bound, self.bound)
        # Safe if |policy(x)| - bound <= 0.
        g_heldout = np.abs(policy(self.dense)) - self.bound
        return {
            "max_g": np.max(self.constraints(network)),
            "heldout_max_g": np.max(g_heldout),
            "heldout_unsafe": np.mean(g_heldout > 0),
            "fresh_loss": np.mean((at_heldout - target(self.heldout)) ** 2),
            "clipped_loss": np.mean((at_heldout - clipped_target) ** 2),
            "uniform_loss": np.mean((policy(self.uniform) - target(self.uniform)) ** 2),
        }


# ---------------------------------------------------------------------------------------------------------------------
# Double integrator: imitate an expert such that rollouts keep |x_1|, |x_2| <= 5 and |u| <= 1, and contract

#: x+ = A x + B u
A = np.array([[1.0, 1.0], [0.0, 1.0]])
B = np.array([[0.0], [1.0]])
STATE_LIMIT, INPUT_LIMIT = 5.0, 1.0
#: The smooth maximum of values v is log(sum(exp(200 v))) / 200.
SHARPNESS = 200.0


def simulate(policy, starts, steps, change=None):
    """Return the states (steps + 1, S, 2) and inputs (steps, S, 1) of the closed loop from the starts (S, 2).

    ``change`` is called with t, the states since the start, and the policy's inputs; it returns what is applied.
    """
    states, inputs = [starts], []
    for t in range(steps):
        u = policy(states[-1])
        if change is not None:
            u = change(t, states, u)
        inputs.append(u)
        states.append(states[-1] @ A.T + u @ B.T)
    return np.stack(states), np.stack(inputs)


def backup_gain():
    """Return the gain K (1, 2) of the backup u = -K x, which is the LQR of the cost |x|^2 + 100 u^2."""
    # Value iteration: with the cost-to-go x'Px, the best input is u = -K x with K = (100 + B'PB)^-1 B'PA,
    # and the cost-to-go one step earlier is x'(I + A'P(A - BK))x.
    cost = np.eye(2)
    for _ in range(5000):
        gain = np.linalg.solve(100.0 + B.T @ cost @ B, B.T @ cost @ A)
        cost = np.eye(2) + A.T @ cost @ (A - B @ gain)
    return gain


def safe_set_of_backup(gain):
    """Return rows h (n, 2) of the largest set in which the backup is safe for all time: {x : |h x| <= 1 for each h}."""
    closed_loop = A - B @ gain
    # |x_1| / 5, |x_2| / 5 and |u| = |K x| must be at most 1 now ...
    limits = np.vstack([np.eye(2) / STATE_LIMIT, gain / INPUT_LIMIT])
    # ... and t steps later, where the state is (A - BK)^t x.  Sixty steps are enough: the loop has contracted by then.
    rows = np.vstack([limits @ np.linalg.matrix_power(closed_loop, t) for t in range(61)])
    # A row matters if it is the largest in some direction.  A half circle of directions covers all, by symmetry.
    angles = np.arange(2e4) / 6e3
    directions = np.array([np.cos(angles), np.sin(angles)])
    largest = np.abs(rows @ directions).argmax(axis=0)
    return rows[np.unique(largest)]


def action_filter(gain, rows, contraction, horizon):
    """Return a function that changes inputs so that the backup could go on safely, and would contract in time.

    Of the inputs within the limit it keeps those after which the state is in the backup's safe set, and from which the
    backup reaches, at the end of the rollout, a gauge of ``contraction`` times that at its start.
    """
    closed_loop = A - B @ gain

    def change(t, states, u):
        start, x, left = states[t - t % horizon], states[t], horizon - t % horizon - 1
        level = contraction * np.abs(start @ rows.T).max(axis=1)
        high = np.full(len(x), INPUT_LIMIT * (1 - 1e-9))  # limits are lowered by 1e-9, so that rounding exceeds none
        low = -high
        for matrix, limit in ((np.eye(2), np.ones(len(x))), (np.linalg.matrix_power(closed_loop, left), level)):
            limit = limit * (1 - 1e-9)
            for row in rows @ matrix:  # |row (A x + B u)| <= limit
                drift, push = x @ (row @ A), row @ B[:, 0]
                if abs(push) > 1e-12 * np.abs(row).max():
                    ends = np.sort([(-limit - drift) / push, (limit - drift) / push], axis=0)
                    low, high = np.maximum(low, ends[0]), np.minimum(high, ends[1])
        return np.clip(u[:, 0], low, np.maximum(low, high))[:, None]

    return change


class DoubleIntegrator:
    """Judge of one run of the double integrator.

    Args:
        settings: the arm's settings.
        data: the arrays of the run's data set.
        folder: of the run; it holds the starts of the training rollouts, and the experiment's folder two levels up
            holds those of the held-out rollouts.
    """

    def __init__(self, settings, data, folder):
        self.activation = settings.get("activation", "tanh")
        if self.activation != "tanh":
            stop(f"no judge for the double integrator with the activation {self.activation!r}")
        if settings["aggregation"] not in ("max", "logsumexp"):
            stop(f"no judge for the aggregation {settings['aggregation']!r} of the double integrator's constraint")
        self.smooth = settings["aggregation"] == "logsumexp"
        self.horizon = settings["horizon"]
        self.contraction = settings["contraction"]
        self.gain = backup_gain()
        self.rows = safe_set_of_backup(self.gain)
        self.change = None
        if settings.get("filtered", False):
            self.change = action_filter(self.gain, self.rows, self.contraction, self.horizon)
        self.data = data
        self.starts = pd.read_parquet(folder / "starts.parquet").to_numpy()
        self.heldout_starts = load_arrays(folder.parents[1] / "references.npz")["heldout_starts"]

    def constraint(self, policy, starts, smooth):
        """Return g (3, S): state limits, input limit and contraction for each start; g <= 0 is safe."""
        states, inputs = simulate(policy, starts, self.horizon, self.change)
        # Psi(x) = max |h x| over the rows h: 1 on the boundary of the backup's safe set, 0 at the origin.
        first = np.abs(states[0] @ self.rows.T).max(axis=1)
        last = np.abs(states[-1] @ self.rows.T)
        # Three groups of values (time, S, axis); the constraint limits the largest value of each group and start.
        groups = [
            np.abs(states) / STATE_LIMIT,
            np.abs(inputs) / INPUT_LIMIT,
            (last / first[:, None])[None],  # its maximum is Psi(x_T) / Psi(x_0)
        ]
        largest = [self.largest(values, smooth) for values in groups]
        return np.stack(largest) - np.array([[1.0], [1.0], [self.contraction]])

    @staticmethod
    def largest(values, smooth):
        """Return the maximum (S,) of non-negative values (time, S, axis) over time and axis, smooth if asked for."""
        if not smooth:
            return values.max(axis=(0, 2))
        # These are moduli |v|.  A smooth maximum sums over v and -v: log(exp(200 |v|) + exp(-200 |v|)).
        exponents = np.logaddexp(SHARPNESS * values, -SHARPNESS * values)
        over_axes = np.logaddexp.reduce(exponents, axis=2)
        return np.logaddexp.reduce(over_axes, axis=0) / SHARPNESS

    def policy(self, network):
        """Return the policy u = -K x + network(x) - network(0): the backup and a correction that is 0 at the origin."""
        return lambda x: -x @ self.gain.T + network(x) - network(np.zeros((1, 2)))

    def constraints(self, network):
        """Return the training constraint g (k,) of one policy."""
        return self.constraint(self.policy(network), self.starts, self.smooth).ravel()

    def quantities(self, network, thorough):
        """Return name -> value for one policy; with ``thorough`` also those that need held-out rollouts.

        ``network`` maps states (S, 2) to (S, 1).
        """
        policy = self.policy(network)

        # The policy's slope at the origin by a complex step: policy(i h) = i h slope + O(h^2), exact up to rounding.
        slope = policy(1e-30j * np.eye(2)).imag.T / 1e-30
        answers = policy(self.data["heldout_inputs"])
        if self.change is not None:  # each state is taken as the start of a rollout
            answers = self.change(0, [self.data["heldout_inputs"]], answers)
        error = answers - self.data["heldout_labels"]
        harmless_error = error[~self.data["heldout_harmful"]]
        found = {
            "max_g": self.constraints(network).max(),
            "spectral_radius": np.abs(np.linalg.eigvals(A + B @ slope)).max(),
            "good_loss": np.mean((answers - self.data["heldout_good_labels"]) ** 2),
            "scenario_loss": np.mean(error**2),
        }
        if len(harmless_error) > 0:
            found["clean_loss"] = np.mean(harmless_error**2)
        if thorough:
            g = self.constraint(policy, self.heldout_starts, smooth=False)
            found["heldout_max_g"] = g.max()
            found["heldout_unsafe"] = np.mean((g > 0).any(axis=0))  # share of starts with any violation
            # The closed-loop cost is the sum of |x|^2 + 0.1 u^2 over 100 steps, averaged over 1,000 starts.
            states, inputs = simulate(policy, self.heldout_starts[:1000], 100, self.change)
            costs = np.sum(states[:-1] ** 2, axis=(0, 2)) + 0.1 * np.sum(inputs**2, axis=(0, 2))
            found["cost"] = costs.mean()
        return found


#: Section of config.json -> its judge.
JUDGES = {"regression": Regression, "double_integrator": DoubleIntegrator}


# ---------------------------------------------------------------------------------------------------------------------
# From config.json to the comparison


def planned_runs(config, results, only=None):
    """Return (experiment, arm, seed, settings, dataset, folder) of every run that config.json asks for, or of one."""
    sections = {key: value for key, value in config.items() if isinstance(value, dict) and "arms" in value}
    if unknown := sorted(set(sections) - set(JUDGES)):
        stop(f"no judge for the experiment {', '.join(unknown)}; there are judges for {', '.join(JUDGES)}")
    runs = []
    for key, section in sections.items():
        experiment = key.replace("_", "-")
        for name, arm in sorted(section["arms"].items()):
            settings = apply_overrides(section, arm["overrides"])
            for seed in range(arm["first_seed"], arm["first_seed"] + arm["seeds"]):
                folder = results / experiment / name / f"seed-{seed}"
                if only is not None and folder != results / only:
                    continue
                runs.append((experiment, name, seed, settings, arm["dataset"], folder))
    if not runs:
        stop(f"{results / 'config.json'} asks for no run {only or ''}, so there is nothing to judge")
    if missing := [str(folder) for *_, folder in runs if not folder.is_dir()]:
        stop(f"{len(missing)} of {len(runs)} runs are missing:\n" + "\n".join(missing))
    return runs


def compare_run(folder, judge):
    """Return the rows (update, quantity, recorded, recomputed) of one run."""
    weights = load_arrays(folder / "weights.npz")
    network = Network(weights["names"], weights["shapes"], judge.activation)
    summary = json.loads((folder / "run.json").read_text())
    every_update = load_table(folder / "metrics.parquet")
    evaluations = load_table(folder / "evaluations.parquet")
    rows = []

    # The saved policies: their constraint values, losses and costs.
    last = len(weights["updates"]) - 1
    for index, (update, theta) in enumerate(zip(weights["updates"], weights["theta"], strict=True)):
        thorough = index % EVERY == 0 or index == last
        found = judge.quantities(lambda x, theta=theta: network(theta, x), thorough)
        for name, value in found.items():
            table = every_update if name == "max_g" else evaluations
            rows.append((update, name, table.loc[update, name], value))

    # The audited iterates: their constraint, and by how much it exceeds the bound that the step had promised.
    audited = (weights[f"audited_{name}"] for name in ("updates", "theta", "bound"))
    for update, theta, bound in zip(*audited, strict=True):
        g = judge.constraints(lambda x, theta=theta: network(theta, x))
        rows.append((update, "audited max_g", every_update.loc[update, "max_g"], g.max()))
        if every_update.loc[update, "proposals"] == 1 and np.isfinite(bound).all():
            recorded = every_update.loc[update, "worst_miss"]
            if np.isfinite(recorded):  # baselines record no sizes
                rows.append((update, "audited miss", recorded, (g - bound).max()))

    # Policies that training proposed and rejected as unsafe: each one must be unsafe.
    for update, theta in zip(weights["unsafe_updates"], weights["unsafe_theta"], strict=True):
        found = judge.quantities(lambda x, theta=theta: network(theta, x), False)
        rows.append((update, "unsafe_proposal", 1, int(found["max_g"] > 0)))

    # The counts in the run's summary: row 0 is the start, each further row one update.
    g = every_update["max_g"]
    rows.append((len(g) - 1, "updates", summary["updates"], g.index[-1]))
    rows.append((len(g) - 1, "unsafe_iterates", summary["unsafe_iterates"], (g.iloc[1:] > 0).sum()))
    return rows


def summarise(table):
    """Return one entry for each arm: how much was compared, unsafe saved policies, the largest differences."""
    arms = []
    for (experiment, name), rows in table.groupby(["experiment", "arm"]):
        of_constraint = rows["what"].str.endswith("max_g")
        saved = rows[rows["what"].isin(["max_g", "audited max_g"])].drop_duplicates(["seed", "update"])
        arms.append(
            {
                "experiment": experiment,
                "arm": name,
                "runs": rows["seed"].nunique(),
                "values": len(rows),
                "iterates": len(saved),
                "recorded": int((saved["recorded"] > 0).sum()),
                "recomputed": int((saved["recomputed"] > 0).sum()),
                "worst_g": rows["error"][of_constraint].max(),
                "worst_other": rows["error"][~of_constraint].max(),
            }
        )
    return arms


def main(results, out, only=None):
    """Judge every run, or one; write the summary, or stop and say where the records are wrong."""
    config = json.loads((results / "config.json").read_text())
    found = []
    for experiment, arm, seed, settings, dataset, folder in planned_runs(config, results, only):
        data = load_arrays(results / experiment / "data" / dataset / f"seed-{seed}.npz")
        judge = JUDGES[experiment.replace("-", "_")](settings, data, folder)
        found += [(experiment, arm, seed, *row) for row in compare_run(folder, judge)]

    table = pd.DataFrame(found, columns=["experiment", "arm", "seed", "update", "what", "recorded", "recomputed"])
    table["error"] = (table["recomputed"] - table["recorded"]).abs() / table["recorded"].abs().clip(lower=1.0)
    agrees = table["error"] <= TOLERANCE  # false for NaN, which is therefore a disagreement
    if not agrees.all():
        wrong = table[~agrees]
        stop(f"{len(wrong)} disagreements\n{wrong.to_string(index=False)}")

    summary = {"tolerance": TOLERANCE, "every": EVERY, "arms": summarise(table)}
    out.write_text(json.dumps(summary, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
