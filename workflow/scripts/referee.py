"""The referee judges every saved policy again, from its weights, and compares its values with the records.

Usage: python referee.py RESULTS OUTPUT [EXPERIMENT/ARM/seed-SEED]

RESULTS is a folder such as results/paper: config.json beside one folder for each experiment.  With a third argument one
run is judged alone.  The referee recomputes the constraint and the losses from their definitions and writes a summary
to OUTPUT.  Of audited iterates, a random share and those nearest to the limit, it recomputes the constraint, and by how
much it exceeds the bound that was promised.

First it compares what the runs were given with the definitions: their data sets, the starts of the training rollouts
and those of the held-out rollouts.  It also tests the certificate of a final policy, if there is one, by simulation.
judge_data(RESULTS) does this part alone, also for runs of which little more than the final policy was kept.

It ends with status 1, and writes nothing, if a value differs from the recorded one, if something is not as defined, if
a run is missing, or if it has no judge for an experiment or arm.

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
#: Largest accepted distance of a point from its place, and of a label from its formula.
EXACT = 1e-9
#: Largest accepted distance of a label of the good expert from the referee's own.  The solver that made the labels ends
#: when its plan is good enough; that leaves an error of some 1e-6 in the first input.
MPC_TOLERANCE = 1e-4
#: So many labels of the good expert are computed again, of each part of a data set.
MPC_SAMPLES = 64
#: A random draw is accepted if its means and shares are within so many standard errors of the expected ones.
STANDARD_ERRORS = 6.0
#: A certificate is tested from so many points in its certified cells, and from as many in its refuted cells.
POINTS = 500
#: Trajectories have so many steps.  One has arrived at the origin if no coordinate exceeds ARRIVED.  Until it has, it
#: is prolonged by as many steps, so often at most.
STEPS, ARRIVED, PROLONGED = 200, 0.1, 50


def stop(message):
    """End the job with status 1 and a message."""
    sys.exit(f"referee: {message}")


# ---------------------------------------------------------------------------------------------------------------------
# Reading


def load_arrays(path):
    """Return name -> array of an .npz archive."""
    with np.load(path) as archive:
        return dict(archive)


def load_safetensors(path):
    """Return name -> array of a .safetensors file.

    It holds the length of a header (8 bytes), the header (JSON: the shape of each array and where its bytes lie), and
    then the numbers of all arrays.
    """
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    arrays = {}
    for name, entry in json.loads(content[8:end]).items():
        if name != "__metadata__":
            if entry["dtype"] != "F64":
                stop(f"{path}: {name} is of type {entry['dtype']}, expected F64")
            first, last = entry["data_offsets"]
            arrays[name] = np.frombuffer(content[end + first : end + last], "<f8").reshape(entry["shape"])
    return arrays


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
# Requirements.  The referee stops if one is not met, and names the file.


def require(path, what, holds):
    """Stop unless all entries of ``holds`` are true; ``what`` says what they stand for."""
    holds = np.asarray(holds).ravel()
    if not holds.all():
        which = f", for {(~holds).sum()} of {holds.size}, the first at {holds.argmin()}" if holds.size > 1 else ""
        stop(f"{path}: it is not true that {what}{which}")


def require_share(path, what, hits, expected):
    """Stop if the share of true entries in ``hits``, which are independent draws, is too far from the expected one."""
    error = np.sqrt(expected * (1 - expected) / len(hits))
    if not abs(np.mean(hits) - expected) <= STANDARD_ERRORS * error:
        stop(f"{path}: the share of {what} is {np.mean(hits):.4g}, expected {expected:.4g}")


def require_mean(path, what, draws, expected, deviation):
    """Stop if the mean of independent draws, with a known standard deviation, is too far from the expected one."""
    if not abs(np.mean(draws) - expected) <= STANDARD_ERRORS * deviation / np.sqrt(len(draws)):
        stop(f"{path}: the mean of {what} is {np.mean(draws):.4g}, expected {expected:.4g}")


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

    def parameters(self, theta):
        """Return name -> array of the weights and biases in theta."""
        parameters = {}
        start = 0
        for name, shape in zip(self.names, self.shapes, strict=True):
            end = start + int(np.prod(shape))
            parameters[name] = theta[start:end].reshape(shape)
            start = end
        if start != len(theta):
            stop(f"the saved weights have {len(theta)} entries and their shapes ask for {start}")
        return parameters

    def __call__(self, theta, x):
        """Return the outputs (S, outputs) at the inputs x (S, inputs)."""
        parameters = self.parameters(theta)
        for layer in range(len(parameters) // 2):
            if layer > 0:
                x = self.activation(x)
            x = x @ parameters[f"weights.{layer}"] + parameters[f"biases.{layer}"]
        return x


def final_network(folder, activation):
    """Return a run's final network as a function of its inputs, and its file; None and None if there is no such file.

    The final policy is kept by itself, in final.safetensors, and is the last one in weights.npz.
    """
    kept, saved = folder / "final.safetensors", folder / "weights.npz"
    found = []
    if kept.is_file():
        layers = {name: x for name, x in load_safetensors(kept).items() if name.startswith(("weights.", "biases."))}
        network = Network(layers, [x.shape for x in layers.values()], activation)
        found.append((network, np.concatenate([x.ravel() for x in layers.values()]), kept))
    if saved.is_file():
        weights = load_arrays(saved)
        found.append((Network(weights["names"], weights["shapes"], activation), weights["theta"][-1], saved))
    if len(found) == 2:
        one, other = (network.parameters(theta) for network, theta, _ in found)
        same = one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)
        require(kept, f"it holds the last policy of {saved.name}", same)
    if not found:
        return None, None
    network, theta, path = found[0]
    return (lambda x: network(theta, x)), path


# ---------------------------------------------------------------------------------------------------------------------
# Regression: fit f on [-pi, pi] subject to |policy(x)| <= bound


def target(x):
    """Return f(x) = sin x + sin 3x + sin 7x."""
    return np.sin(x) + np.sin(3 * x) + np.sin(7 * x)


def check_regression_data(path, data, settings, dataset, seed):
    """Stop if a data set of the regression is not as defined.

    The inputs are drawn from N(0, 1), or uniformly from [-pi, pi]; the held-out inputs likewise.  A label is f(x),
    except for a random share, which is marked harmful: there it has a fixed modulus and the sign that f(x) does not
    have.
    """
    wanted = settings["datasets"][dataset]
    x, labels, harmful, heldout = data["inputs"], data["labels"], data["harmful"], data["heldout"]
    for name, array in (("inputs", x), ("labels", labels), ("flags for harmful labels", harmful)):
        require(path, f"there are {wanted['size']} {name}", array.shape == (wanted["size"],))
    require(path, f"there are {settings['heldout']} held-out inputs", heldout.shape == (settings["heldout"],))

    adversarial = wanted["adversarial_label"] * np.where(target(x) < 0, 1.0, -1.0)
    expected = np.where(harmful, adversarial, target(x))
    require(path, "labels are f(x), and adversarial where marked harmful", np.abs(labels - expected) <= EXACT)
    require_share(path, "harmful labels", harmful, wanted["adversarial_share"])

    for name, draws in (("inputs", x), ("held-out inputs", heldout)):
        if wanted["inputs"] == "normal":
            mean_square, deviation_of_square = 1.0, np.sqrt(2)
        elif wanted["inputs"] == "uniform":
            require(path, f"{name} lie in [-pi, pi]", np.abs(draws) <= np.pi)
            mean_square, deviation_of_square = np.pi**2 / 3, 2 * np.pi**2 / np.sqrt(45)
        else:
            stop(f"no judge for {wanted['inputs']!r} inputs of the regression")
        require_mean(path, name, draws, 0.0, np.sqrt(mean_square))
        require_mean(path, f"squared {name}", draws**2, mean_square, deviation_of_square)


def check_regression_run(folder, settings, seed):
    """Stop if the final policy is kept twice and differs.  The grid of the constraint is in no file."""
    final_network(folder, settings["activation"])


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


def lqr(weight):
    """Return the gain K (1, 2) of u = -K x, which is best for the cost |x|^2 + weight u^2, and P of its cost x'Px."""
    # Value iteration: with the cost-to-go x'Px, the best input is u = -K x with K = (weight + B'PB)^-1 B'PA,
    # and the cost-to-go one step earlier is x'(I + A'P(A - BK))x.
    cost = np.eye(2)
    for _ in range(500):
        gain = np.linalg.solve(weight + B.T @ cost @ B, B.T @ cost @ A)
        cost = np.eye(2) + A.T @ cost @ (A - B @ gain)
    return gain, cost


def safe_set(gain):
    """Return rows h (n, 2) of the largest set in which u = -K x is safe for all time: {x : |h x| <= 1 for each h}."""
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


def gauge(rows, x):
    """Return Psi (S,) of states x (S, 2): the largest |h x|.  It is 1 on the boundary of the set, 0 at the origin."""
    return np.abs(x @ rows.T).max(axis=1)


#: The gain K (1, 2) of the backup u = -K x, which is the LQR of the cost |x|^2 + 100 u^2; and its safe set O_inf.
BACKUP = lqr(100.0)[0]
SAFE = safe_set(BACKUP)


def corners_of(rows):
    """Return the corners (2 n, 2) of {x : |h x| <= 1 for each row h}, anticlockwise."""
    sides = np.vstack([rows, -rows])
    sides = sides[np.argsort(np.arctan2(sides[:, 1], sides[:, 0]))]
    # A corner lies on a side h x = 1 and on the next one.
    return np.array([np.linalg.solve(pair, [1.0, 1.0]) for pair in zip(sides, np.roll(sides, -1, axis=0), strict=True)])


def action_filter(contraction, horizon):
    """Return a function that changes inputs so that the backup could go on safely, and would contract in time.

    Of the inputs within the limit it keeps those after which the state is in the backup's safe set, and from which the
    backup reaches, at the end of the rollout, a gauge of ``contraction`` times that at its start.
    """
    closed_loop = A - B @ BACKUP

    def change(t, states, u):
        start, x, left = states[t - t % horizon], states[t], horizon - t % horizon - 1
        level = contraction * gauge(SAFE, start)
        high = np.full(len(x), INPUT_LIMIT * (1 - 1e-9))  # limits are lowered by 1e-9, so that rounding exceeds none
        low = -high
        for matrix, limit in ((np.eye(2), np.ones(len(x))), (np.linalg.matrix_power(closed_loop, left), level)):
            limit = limit * (1 - 1e-9)
            for row in SAFE @ matrix:  # |row (A x + B u)| <= limit
                drift, push = x @ (row @ A), row @ B[:, 0]
                if abs(push) > 1e-12 * np.abs(row).max():
                    ends = np.sort([(-limit - drift) / push, (limit - drift) / push], axis=0)
                    low, high = np.maximum(low, ends[0]), np.minimum(high, ends[1])
        return np.clip(u[:, 0], low, np.maximum(low, high))[:, None]

    return change


def policy_of(network):
    """Return the policy u = -K x + network(x) - network(0): the backup and a correction that is 0 at the origin."""
    return lambda x: -x @ BACKUP.T + network(x) - network(np.zeros((1, 2)))


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
        self.change = None
        if settings.get("filtered", False):
            self.change = action_filter(self.contraction, self.horizon)
        self.data = data
        self.starts = pd.read_parquet(folder / "starts.parquet").to_numpy()
        self.heldout_starts = load_arrays(folder.parents[1] / "references.npz")["heldout_starts"]

    def constraint(self, policy, starts, smooth):
        """Return g (3, S): state limits, input limit and contraction for each start; g <= 0 is safe."""
        states, inputs = simulate(policy, starts, self.horizon, self.change)
        # Psi(x) = max |h x| over the rows h: 1 on the boundary of the backup's safe set, 0 at the origin.
        first = gauge(SAFE, states[0])
        last = np.abs(states[-1] @ SAFE.T)
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

    def constraints(self, network):
        """Return the training constraint g (k,) of one policy."""
        return self.constraint(policy_of(network), self.starts, self.smooth).ravel()

    def quantities(self, network, thorough):
        """Return name -> value for one policy; with ``thorough`` also those that need held-out rollouts.

        ``network`` maps states (S, 2) to (S, 1).
        """
        policy = policy_of(network)

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


# ---------------------------------------------------------------------------------------------------------------------
# Double integrator: the states, starts and labels that its runs were given


def require_uniform(path, what, x, rho):
    """Stop if points x (S, 2) leave rho O_inf, the safe set of the backup scaled by rho, or are not uniform in it."""
    level = gauge(SAFE, x) / rho
    require(path, f"{what} lie in rho O_inf", level <= 1 + EXACT)
    for s in (0.2, 0.4, 0.6, 0.8, 0.9):  # an area goes with the square of the scale
        require_share(path, f"{what} of gauge below {s} rho", level < s, s**2)
    for i in (0, 1):  # the set is symmetric to the origin, so half of it lies on each side of a line through it
        require_share(path, f"{what} with x{i + 1} above 0", x[:, i] > 0, 0.5)


def halton(index, base):
    """Return the digits of an integer, mirrored at the point: in base 2, 6 = 110 becomes 0.011 = 3/8."""
    value, place = 0.0, 1.0
    while index > 0:
        place /= base
        value += place * (index % base)
        index //= base
    return value


def defined_starts(corners, rho, count):
    """Return the starts (count, 2) of the training rollouts.

    First come the corners (C, 2) of rho O_inf, anticlockwise, and last come corners that are scaled down.  Of these
    there are 3/8 of count - C, but at least 4: all corners times 0.001, then all times 0.1, and so on.

    Half of what is left, rounded down, lies on the boundary, at equal distances along it.  The walk begins at the first
    corner, and the first of these starts is a quarter of such a distance away from it.  The others are the first points
    of the Halton sequence with the bases 2 and 3, stretched over the smallest rectangle around the set, that lie in the
    set.
    """
    scales = (0.001, 0.1, 0.6, 0.2, 0.45, 0.05, 0.3, 0.8)
    scaled = np.vstack([scale * corners for scale in scales])[: max(4, 3 * (count - len(corners)) // 8)]
    left = count - len(corners) - len(scaled)

    sides = np.roll(corners, -1, axis=0) - corners
    lengths = np.linalg.norm(sides, axis=1)
    walked = np.cumsum(lengths)  # from the first corner to the end of each side
    boundary = []
    for i in range(left // 2):
        distance = (i + 0.25) * walked[-1] / (left // 2)
        side = np.flatnonzero(walked > distance)[0]
        boundary.append(corners[side] + sides[side] * (1 - (walked[side] - distance) / lengths[side]))

    low, high = corners.min(axis=0), corners.max(axis=0)
    inside, index = [], 0
    while len(inside) < left - left // 2:
        point = low + (high - low) * [halton(index, 2), halton(index, 3)]
        if gauge(SAFE, point[None])[0] < rho:
            inside.append(point)
        index += 1
    return np.vstack([corners, boundary, inside, scaled])


def check_starts(path, starts, settings):
    """Stop if the starts (S, 2) of the training rollouts are not the defined ones."""
    rho, count = settings["rho"], settings["starts"]
    require(path, f"there are {count} starts", starts.shape == (count, 2))
    require(path, "starts lie in rho O_inf", gauge(SAFE, starts) <= rho * (1 + EXACT))
    corners = rho * corners_of(SAFE)
    # Any corner may be the first one.
    distances = np.abs(corners - starts[0]).max(axis=1)
    require(path, "the first start is a corner of rho O_inf", distances.min() <= EXACT)
    expected = defined_starts(np.roll(corners, -distances.argmin(), axis=0), rho, count)
    require(path, "starts are the defined ones", np.abs(starts - expected).max(axis=1) <= EXACT)


def check_heldout_starts(path, settings):
    """Stop if the starts of the held-out rollouts are not as many as asked for, or are not uniform in rho O_inf."""
    starts, count = load_arrays(path)["heldout_starts"], settings["heldout"]
    require(path, f"there are {count} held-out starts", starts.shape == (count, 2))
    require_uniform(path, "held-out starts", starts, settings["rho"])


def nonnegative_least_squares(matrix, aim):
    """Return the w >= 0 with the least |matrix w - aim|, by the method of Lawson and Hanson.

    Each entry of w is free or held at 0.  As long as the sum of squares falls when a held entry grows, the entry for
    which it falls fastest is set free.  The free entries then move to their best values.  If an entry would become
    negative on the way, the move ends where the first one reaches 0.  That entry is held, and the others move on.
    """
    w = np.zeros(matrix.shape[1])
    free = np.zeros(len(w), dtype=bool)
    for _ in range(100 * len(w)):
        fall = np.where(free, 0.0, matrix.T @ (aim - matrix @ w))
        if fall.max() <= 1e-12 * np.abs(matrix).max():
            return w
        free[fall.argmax()] = True
        while True:
            best = np.zeros(len(w))
            best[free] = np.linalg.lstsq(matrix[:, free], aim, rcond=None)[0]
            negative = free & (best < 0)
            if not negative.any():
                break
            share = w[negative] / (w[negative] - best[negative])
            w = w + share.min() * (best - w)
            free[np.flatnonzero(negative)[share.argmin()]] = False
            w[~free] = 0.0
        w = best
    return stop("the search for the good expert's plan does not end")


class GoodExpert:
    """The good expert is a controller that plans 10 steps ahead, and applies the first input of the best plan.

    The cost of a plan is the sum of |x_t|^2 + 0.1 u_t^2, and x'Px at its end, where x'Px is the cost of the LQR for
    this sum.  A plan must keep |x_1|, |x_2| <= 5 and |u| <= 1, and end in the safe set of that LQR.
    """

    def __init__(self):
        steps = 10
        self.gain, end = lqr(0.1)
        self.rows = safe_set(self.gain)
        # States are linear in the start x and the inputs u of the plan: x_t = past[t] x + effect[t] u.
        past, effect = [np.eye(2)], [np.zeros((2, steps))]
        for t in range(steps):
            past.append(A @ past[t])
            effect.append(A @ effect[t])
            effect[-1][:, t] = B[:, 0]
        # Up to a constant, the cost is u'Hu / 2 + u'Fx.
        costs = [np.eye(2)] * steps + [end]
        self.H = 0.2 * np.eye(steps) + sum(2 * e.T @ cost @ e for e, cost in zip(effect, costs, strict=True))
        self.F = sum(2 * e.T @ cost @ p for e, cost, p in zip(effect, costs, past, strict=True))
        # The plan must keep G u + D x <= 1.
        limits = [np.eye(2) / STATE_LIMIT] * (steps - 1) + [self.rows]
        G = np.vstack([np.eye(steps) / INPUT_LIMIT] + [h @ e for h, e in zip(limits, effect[1:], strict=True)])
        D = np.vstack([np.zeros((steps, 2))] + [h @ p for h, p in zip(limits, past[1:], strict=True)])
        self.G, self.D = np.vstack([G, -G]), np.vstack([D, -D])

    def plan(self, x):
        """Return the inputs (10,) of the best plan from the state x (2,), or None if there is no plan."""
        # H = L L'.  With z = L'u + L^-1 F x the cost is |z|^2 / 2, up to a constant, and the limits are M z >= d.
        lower = np.linalg.cholesky(self.H)
        shift = np.linalg.solve(lower, self.F @ x)
        M = -np.linalg.solve(lower, self.G.T).T
        d = self.D @ x - 1 + M @ shift
        # The shortest z with M z >= d, from Lawson and Hanson, Solving Least Squares Problems, chapter 23: approximate
        # (0, ..., 0, 1) by a sum of the rows (M, d) with weights >= 0.  If the sum can equal it, there is no such z.
        # Otherwise the rest is a multiple of (-z, 1).
        rows, aim = np.column_stack([M, d]), np.append(np.zeros(len(shift)), 1.0)
        rest = aim - rows.T @ nonnegative_least_squares(rows.T, aim)
        if np.linalg.norm(rest) < 1e-7:
            return None
        plan = np.linalg.solve(lower.T, -rest[:-1] / rest[-1] - shift)
        if not (self.G @ plan + self.D @ x <= 1 + 1e-6).all():
            stop(f"the referee's own plan of the good expert from {x} exceeds a limit")
        return plan

    def check(self, path, what, x, labels, seed):
        """Stop if labels (S, 1) at states x (S, 2) are not this expert's; return how many the backup stands in for.

        In the safe set of the LQR the LQR's input is the best one, since it keeps all limits; there all labels are
        checked.  Of the others a sample is.  Where there is no plan the label is the backup's, within |u| <= 1.
        """
        inside = gauge(self.rows, x) <= 1
        is_lqr = np.abs(labels + x @ self.gain.T)[:, 0] <= EXACT
        require(path, f"{what} in the safe set of the LQR are the LQR's", is_lqr[inside])
        require(path, f"{what} are within the input limit", np.abs(labels) <= INPUT_LIMIT)
        backup = np.clip(-x @ BACKUP.T, -INPUT_LIMIT, INPUT_LIMIT)
        is_backup = ~inside & (np.abs(labels - backup)[:, 0] <= EXACT)
        generator = np.random.default_rng(seed)
        for kind in (~inside & ~is_backup, is_backup):
            for index in generator.permutation(np.flatnonzero(kind))[:MPC_SAMPLES]:
                plan = self.plan(x[index])
                expected = backup[index, 0] if plan is None else plan[0]
                if not abs(labels[index, 0] - expected) <= MPC_TOLERANCE:
                    stop(f"{path}: {what}[{index}] is {labels[index, 0]:.9g}, expected {expected:.9g}")
        return is_backup.sum()


def check_double_integrator_data(path, data, settings, dataset, seed):
    """Stop if a data set of the double integrator is not as defined.

    States are uniform in rho O_inf.  The malicious expert labels none of them ("cooperative"), those with x1 > 1
    ("mixed") or all ("hostile"), by sign(x1 + x2); its labels are marked harmful.  The others are the good expert's.
    """
    wanted, expert = settings["datasets"][dataset], GoodExpert()
    require(path, f"there are {wanted['size']} inputs", data["inputs"].shape == (wanted["size"], 2))
    backups = 0
    for part in ("", "heldout_"):
        x, labels, harmful, good = (data[part + name] for name in ("inputs", "labels", "harmful", "good_labels"))
        require_uniform(path, f"{part}inputs", x, settings["rho"])
        if wanted["scenario"] == "cooperative":
            malicious = np.full(len(x), False)
        elif wanted["scenario"] == "mixed":
            malicious = x[:, 0] > 1
        elif wanted["scenario"] == "hostile":
            malicious = np.full(len(x), True)
        else:
            stop(f"no judge for the scenario {wanted['scenario']!r} of the double integrator")
        require(path, f"{part}harmful marks the states of the malicious expert", harmful == malicious)
        outwards = np.sign(x[:, 0] + x[:, 1])
        expected = np.where(malicious, outwards, good[:, 0])
        require(path, f"{part}labels are those of the expert whose turn it is", labels[:, 0] == expected)
        backups += expert.check(path, f"{part}good_labels", x, good, seed)
    require(path, f"fallbacks is {backups}, the number of the backup's labels", data["fallbacks"] == backups)


# ---------------------------------------------------------------------------------------------------------------------
# Double integrator: the certificate of a final policy


def points_in(cells, x1, x2, generator):
    """Return random points (S, 2) in the true cells (n1, n2), whose sides lie at x1 (n1 + 1,) and x2 (n2 + 1,).

    Half of the points are in cells with the fewest neighbours of their kind: those that are alone, or at the edge.
    """
    padded = np.pad(cells.astype(int), 1)
    neighbours = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    shuffled = generator.permutation(np.flatnonzero(cells))
    lonely = shuffled[np.argsort(neighbours.ravel()[shuffled], kind="stable")]
    i, j = np.divmod(np.append(shuffled[: POINTS // 2], lonely[: POINTS // 2]), cells.shape[1])
    low, high = np.column_stack([x1[i], x2[j]]), np.column_stack([x1[i + 1], x2[j + 1]])
    return low + (high - low) * generator.random(low.shape)


def worst_share(states, inputs):
    """Return (S,) the largest share of a limit that each trajectory uses; above 1 it exceeds one."""
    return np.maximum(np.abs(states).max(axis=(0, 2)) / STATE_LIMIT, np.abs(inputs).max(axis=(0, 2)) / INPUT_LIMIT)


def check_certificate_numbers(path, certified, refuted, x1, x2):
    """Stop if the areas of the cells, or the scale of O_inf that the certified ones cover, are not as stated."""
    numbers = json.loads(path.read_text())
    final, cell = numbers["final"], (x1[1] - x1[0]) * (x2[1] - x2[0])
    for name, cells in (("area", certified), ("refuted_area", refuted)):
        require(path, f"{name} is that of the cells", abs(final[name] - cell * cells.sum()) <= EXACT)
    scale = max(final["level"], numbers["rho"] if final["covers_starts"] else 0.0)
    centres = np.stack(np.meshgrid(x1[:-1] + x1[1:], x2[:-1] + x2[1:], indexing="ij"), axis=-1) / 2
    covered = gauge(SAFE, centres.reshape(-1, 2)) <= scale
    require(path, f"the certified cells cover {scale} O_inf", certified.ravel()[covered])


def check_certificate(path, policy, seed):
    """Stop if trajectories of the policy contradict its certificate.  Points are a sample: this can refute, not prove.

    From a certified cell the limits are kept for all time, and the state goes to the origin.  From a refuted one a
    limit is exceeded at some time.
    """
    arrays = load_arrays(path)
    certified, refuted, x1, x2 = (arrays[name] for name in ("mask", "refuted", "x1", "x2"))
    require(path, "no cell is certified and refuted", ~(certified & refuted).any(axis=1))
    for name, sides in (("x1", x1), ("x2", x2)):
        expected = np.linspace(-STATE_LIMIT, STATE_LIMIT, len(sides))
        require(path, f"cells divide the state limits of {name} evenly", np.abs(sides - expected) <= EXACT)
    check_certificate_numbers(path.with_suffix(".json"), certified, refuted, x1, x2)
    generator = np.random.default_rng(seed)

    x = points_in(certified, x1, x2, generator)
    for _ in range(PROLONGED):
        if len(x) > 0:
            states, inputs = simulate(policy, x, STEPS)
            require(path, "all limits are kept from certified cells", worst_share(states, inputs) <= 1 + EXACT)
            x = states[-1][np.abs(states[-1]).max(axis=1) > ARRIVED]
    require(path, f"from certified cells the state comes within {ARRIVED} of the origin", len(x) == 0)

    x = points_in(refuted, x1, x2, generator)
    if len(x) > 0:
        with np.errstate(over="ignore", invalid="ignore"):  # a state may grow without limit
            states, inputs = simulate(policy, x, STEPS)
        require(path, "a limit is exceeded from refuted cells", ~(worst_share(states, inputs) <= 1 - EXACT))


def check_double_integrator_run(folder, settings, seed):
    """Stop if a run's training starts are not as defined or its final policy's certificate is contradicted.

    Files that the run does not have are passed over.  A certificate is about the policy without a filter.
    """
    if (path := folder / "starts.parquet").is_file():
        check_starts(path, pd.read_parquet(path)[["x1", "x2"]].to_numpy(), settings)
    network, file = final_network(folder, settings.get("activation", "tanh"))
    if file is not None and file.suffix == ".safetensors":
        require(file, "the backup is u = -K x", np.abs(load_safetensors(file)["backup.weight"] + BACKUP) <= EXACT)
    if network is not None and (path := folder / "certificate.npz").is_file():
        check_certificate(path, policy_of(network), seed)


#: Section of config.json -> its judge, and its checks of a data set and of what else a run was given or found out.
JUDGES = {"regression": Regression, "double_integrator": DoubleIntegrator}
DATA_CHECKS = {"regression": check_regression_data, "double_integrator": check_double_integrator_data}
RUN_CHECKS = {"regression": check_regression_run, "double_integrator": check_double_integrator_run}


# ---------------------------------------------------------------------------------------------------------------------
# From config.json to the comparison


def planned_runs(config, results, only=None):
    """Return (experiment, arm, seed, settings, dataset, folder) of each run that config.json asks for, or of one."""
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
    return runs


def check_given(config, results, runs):
    """Compare what the runs were given, and the certificates of their policies, with the definitions.

    A data set is checked once, however many runs had it.  A file that is not there is passed over.

    Returns:
        (data sets, runs, certificates) that were checked.
    """
    data_sets, certificates, references = set(), 0, set()
    for experiment, _, seed, settings, dataset, folder in runs:
        section = experiment.replace("-", "_")
        path = results / experiment / "data" / dataset / f"seed-{seed}.npz"
        if path not in data_sets and path.is_file():
            DATA_CHECKS[section](path, load_arrays(path), config[section], dataset, seed)
            data_sets.add(path)
        path = results / experiment / "references.npz"
        if path not in references and path.is_file():
            check_heldout_starts(path, config[section])
            references.add(path)
        RUN_CHECKS[section](folder, settings, seed)
        certificates += (folder / "certificate.npz").is_file()
    return len(data_sets), len(runs), certificates


def judge_data(results):
    """Check what is left of the runs in RESULTS: data sets, starts, final policies and certificates.

    Returns:
        (data sets, runs, certificates) that were checked.
    """
    config = json.loads((results / "config.json").read_text())
    runs = planned_runs(config, results)
    return check_given(config, results, [run for run in runs if run[-1].is_dir()])


def compare_run(folder, judge):
    """Return the rows (update, quantity, recorded, recomputed) of one run."""
    weights = load_arrays(folder / "weights.npz")
    network = Network(weights["names"], weights["shapes"], judge.activation)
    summary = json.loads((folder / "run.json").read_text())
    every_update = load_table(folder / "updates.parquet")
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


def unsafe_iterates(seed, folder, judge):
    """Return an entry for each audited iterate of a run of SCPO that is unsafe: which constraint, and by how much.

    Those nearest to the limit are audited, so all unsafe iterates are among them unless a run has more than 50.
    """
    if json.loads((folder / "run.json").read_text())["method"] != "scpo":
        return []
    weights = load_arrays(folder / "weights.npz")
    network = Network(weights["names"], weights["shapes"], judge.activation)
    found = []
    audited = (weights[f"audited_{name}"] for name in ("updates", "theta", "bound"))
    for update, theta, bound in zip(*audited, strict=True):
        g = judge.constraints(lambda x, theta=theta: network(theta, x))
        worst = int(g.argmax())
        if g[worst] > 0:
            # after an update that goes back to an earlier iterate no bound was promised
            miss = float(g[worst] - bound[worst]) if np.isfinite(bound[worst]) else None
            found.append({"seed": seed, "update": int(update), "constraint": worst, "g": float(g[worst]), "miss": miss})
    return found


def summarise(table, unsafe):
    """Return one entry for each arm: how much was compared, unsafe saved policies, the largest differences.

    Args:
        table: a row for each value that was compared.
        unsafe: (experiment, arm) -> its unsafe iterates.
    """
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
                "unsafe": unsafe[experiment, name],
            }
        )
    return arms


def main(results, out, only=None):
    """Judge every run, or one; write the summary, or stop and say where the records are wrong."""
    config = json.loads((results / "config.json").read_text())
    runs = planned_runs(config, results, only)
    if missing := [str(folder) for *_, folder in runs if not folder.is_dir()]:
        stop(f"{len(missing)} of {len(runs)} runs are missing:\n" + "\n".join(missing))
    check_given(config, results, runs)
    found, unsafe = [], {}
    for experiment, arm, seed, settings, dataset, folder in runs:
        data = load_arrays(results / experiment / "data" / dataset / f"seed-{seed}.npz")
        judge = JUDGES[experiment.replace("-", "_")](settings, data, folder)
        found += [(experiment, arm, seed, *row) for row in compare_run(folder, judge)]
        unsafe[experiment, arm] = unsafe.get((experiment, arm), []) + unsafe_iterates(seed, folder, judge)

    table = pd.DataFrame(found, columns=["experiment", "arm", "seed", "update", "what", "recorded", "recomputed"])
    table["error"] = (table["recomputed"] - table["recorded"]).abs() / table["recorded"].abs().clip(lower=1.0)
    agrees = table["error"] <= TOLERANCE  # false for NaN, which is therefore a disagreement
    if not agrees.all():
        wrong = table[~agrees]
        stop(f"{len(wrong)} disagreements\n{wrong.to_string(index=False)}")

    summary = {"tolerance": TOLERANCE, "every": EVERY, "arms": summarise(table, unsafe)}
    out.write_text(json.dumps(summary, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
