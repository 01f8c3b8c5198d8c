"""Independent referee: safety counts and figures of merit of results/<profile>, again, from the saved weights.

NumPy, nothing of the package under test.  A disagreement ends the job with status 1.  Arguments: results, output.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

TOLERANCE, EVERY = 1e-9, 5  # absolute up to 1, relative above; held-out rollouts
ACTIVATIONS = {"relu": lambda h: np.maximum(h, 0.0), "tanh": np.tanh, "softplus": lambda h: np.logaddexp(h, 0.0)}
A, B = np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[0.0], [1.0]])


def arrays(path):
    """Read an archive of arrays."""
    with np.load(path) as archive:
        return dict(archive)


def merged(base, overlay):
    """Lay an arm's overrides over its task's settings."""
    both = {key: merged(base[key], overlay[key]) for key in base.keys() & overlay if isinstance(overlay[key], dict)}
    return base | overlay | both


def network(theta, names, shapes, activation, x):
    """Evaluate the residual network: x @ W + b, layer by layer."""
    sides = [shape[shape > 0] for shape in shapes]
    cut = np.split(theta, np.cumsum([side.prod() for side in sides])[:-1])  # one array a parameter
    parts = {name: part.reshape(side) for name, part, side in zip(names, cut, sides, strict=True)}
    for layer in range(len(parts) // 2):
        x = (ACTIVATIONS[activation] if layer else np.array)(x) @ parts[f"weights.{layer}"] + parts[f"biases.{layer}"]
    return x


def regression(results, settings, arm, seed):
    """Return the judge of |pi(x)| <= bound on a grid, and of losses against sin x + sin 3x + sin 7x."""
    bound, heldout = settings["bound"], arrays(results / f"data/{arm['dataset']}/seed-{seed}.npz")["heldout"]
    dense = -np.pi + 2 * np.pi * (np.arange(len(heldout)) + 0.5) / len(heldout)

    def judge(residual, thorough):
        parts = lambda x: np.array_split(x[:, None], len(x) // 1000 + 1)  # that fit the cache: half the time  # noqa: E731
        at = lambda x: (np.concatenate([*map(residual, parts(x))])[:, 0], np.sin(x) + np.sin(3 * x) + np.sin(7 * x))  # noqa: E731
        excess, grid = (np.abs(at(x)[0]) - bound for x in (dense, np.linspace(-np.pi, np.pi, settings["grid_size"])))
        (fresh, f), (fine, f_fine) = at(heldout), at(np.linspace(-np.pi, np.pi, 1000))
        errors = {"fresh": fresh - f, "clipped": fresh - np.clip(f, -bound, bound), "uniform": fine - f_fine}
        found = {f"{name}_loss": np.mean(error**2) for name, error in errors.items()}
        return found | {"heldout_max_g": excess.max(), "heldout_unsafe": np.mean(excess > 0), "max_g": grid.max()}

    return judge


def simulate(pi, x, steps):
    """Return states (T + 1, S, 2) and inputs (T, S, 1) of the closed loop x+ = A x + B u."""
    states, inputs = [x], []
    for _ in range(steps):
        inputs.append(pi(states[-1]))
        states.append(states[-1] @ A.T + inputs[-1] @ B.T)
    return np.stack(states), np.stack(inputs)


def backup():
    """Return the LQR gain of |x|^2 + 100 u^2 by value iteration, and rows h with O_inf = {x : |h x| <= 1}."""
    cost = np.eye(2)
    for _ in range(5000):
        gain = np.linalg.solve(100.0 + B.T @ cost @ B, B.T @ cost @ A)
        cost = np.eye(2) + A.T @ cost @ (A - B @ gain)
    rows = np.vstack([np.vstack([np.eye(2) / 5.0, gain]) @ np.linalg.matrix_power(A - B @ gain, t) for t in range(61)])
    ends = np.exp(1j * np.arange(2e4) / 6e3)  # a half circle; the limits |x_i| <= 5 and |u| <= 1 that are facets
    return gain, rows[np.unique(np.abs(rows @ [ends.real, ends.imag]).argmax(axis=0))]


def double_integrator(results, settings, arm, seed):
    """Return the judge of constraints and contraction along rollouts, closed-loop cost and imitation losses."""
    (gain, rows), data = backup(), arrays(results / f"data/{arm['dataset']}/seed-{seed}.npz")
    starts = pd.read_parquet(results / f"{arm['name']}/seed-{seed}/starts.parquet").to_numpy()
    heldout = arrays(results / "references.npz")["heldout_starts"]

    def metrics(pi, x, smooth):
        states, inputs = simulate(pi, x, settings["horizon"])
        first, last = (np.abs(end @ rows.T) for end in states[[0, -1]])
        values = [np.abs(states) / 5.0, np.abs(inputs), (last / first.max(axis=1)[:, None])[None]]
        if smooth:  # log-sum-exp with factor 200
            values = [np.logaddexp(200 * v, -200 * v) for v in values[:2]] + [200 * values[2]]
            values = [np.logaddexp.reduce(np.logaddexp.reduce(v, axis=2), axis=0)[None, :, None] / 200 for v in values]
        worst = [v.max(axis=(0, 2)) for v in values]
        return np.stack(worst) - np.array([[1.0], [1.0], [settings["contraction"]]])

    def judge(residual, thorough):
        pi = lambda x: -x @ gain.T + residual(x) - residual(np.zeros((1, 2)))  # noqa: E731
        answers = pi(data["heldout_inputs"])
        slope = pi(1e-30j * np.eye(2)).imag.T / 1e-30  # complex step: exact to rounding
        found = {"max_g": metrics(pi, starts, settings["aggregation"] == "logsumexp").max()}
        found["spectral_radius"] = np.abs(np.linalg.eigvals(A + B @ slope)).max()
        errors = {"good": answers - data["heldout_good_labels"], "scenario": answers - data["heldout_labels"]}
        errors["clean"] = errors["scenario"][~data["heldout_harmful"]]
        found |= {f"{name}_loss": np.mean(error**2) for name, error in errors.items() if len(error)}
        if thorough:
            g, (states, inputs) = metrics(pi, heldout, False), simulate(pi, heldout[:1000], 100)
            costs = np.sum(states[:-1] ** 2, axis=(0, 2)) + 0.1 * np.sum(inputs**2, axis=(0, 2))
            found |= {"heldout_max_g": g.max(), "heldout_unsafe": np.mean((g > 0).any(axis=0)), "cost": costs.mean()}
        return found

    return judge


def compare(folder, judge, activation):
    """Yield (update, quantity, recorded, recomputed): saved iterates, saved unsafe proposals, counts."""
    weights, run = arrays(folder / "weights.npz"), json.loads((folder / "run.json").read_text())
    metrics, rows = (pd.read_parquet(folder / f"{n}.parquet").set_index("update") for n in ("metrics", "evaluations"))
    names, shapes, last = weights["names"], weights["shapes"], len(weights["updates"]) - 1
    at = lambda theta, thorough: judge(lambda x: network(theta, names, shapes, activation, x), thorough)  # noqa: E731
    for index, (update, theta) in enumerate(zip(weights["updates"], weights["theta"], strict=True)):
        for name, value in at(theta, index % EVERY == 0 or index == last).items():
            yield update, name, (metrics if name == "max_g" else rows).loc[update, name], value
    for update, theta in zip(weights["unsafe_updates"], weights["unsafe_theta"], strict=True):
        yield update, "unsafe_proposal", 1, int(at(theta, False)["max_g"] > 0)
    yield len(metrics) - 1, "updates", run["updates"], metrics.index[-1]
    yield len(metrics) - 1, "unsafe_iterates", run["unsafe_iterates"], (metrics["max_g"].iloc[1:] > 0).sum()


def main(results, out):
    """Judge every run; write the summary, or exit and say where the records are wrong."""
    config, found, arms = json.loads((results / "config.json").read_text()), [], []
    for task, start in (("regression", regression), ("double-integrator", double_integrator)):
        section = config[task.replace("-", "_")] or {"arms": {}}
        for name, arm in sorted(section["arms"].items()):
            settings = merged(section, arm["overrides"])
            for seed in range(arm["first_seed"], arm["first_seed"] + arm["seeds"]):
                judge, folder = start(results / task, settings, arm | {"name": name}, seed), results / task / name
                activation = settings.get("activation", "tanh")
                found += [(task, name, seed, *row) for row in compare(folder / f"seed-{seed}", judge, activation)]
    table = pd.DataFrame(found, columns=["task", "arm", "seed", "update", "what", "recorded", "recomputed"])
    table["error"] = (table["recomputed"] - table["recorded"]).abs() / table["recorded"].abs().clip(lower=1.0)
    for (task, name), rows in table.groupby(["task", "arm"]):
        safety, saved = rows["what"].str.endswith("max_g"), rows[rows["what"] == "max_g"]
        line = {"task": task, "arm": name, "runs": rows["seed"].nunique(), "values": len(rows), "iterates": len(saved)}
        line |= {what: int((saved[what] > 0).sum()) for what in ("recorded", "recomputed")}  # unsafe ones
        arms.append(line | {"worst_g": rows["error"][safety].max(), "worst_other": rows["error"][~safety].max()})
    if len(wrong := table[~(table["error"] <= TOLERANCE)]):
        sys.exit(f"referee: {len(wrong)} disagreements\n{wrong.to_string(index=False)}")
    out.write_text(json.dumps({"tolerance": TOLERANCE, "every": EVERY, "arms": arms}, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
