"""The benchmarks' results as Markdown tables, and the ratios that claims are judged by."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.dimension import SAMPLES
from benchmarks.update import PARTS

#: the exponent in d is fitted from here on; below it costs that do not depend on d hide it
LARGE = 9000
STAGES = ("early", "late")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first are numbers."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def digits(value: float | None, figures: int = 3) -> str:
    """Return ``value`` with so many significant figures and no exponent."""
    if value is None or not math.isfinite(value):
        return "-"
    if value == 0:
        return "0"
    places = max(0, figures - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{places}f}"


def milliseconds(value: float | None) -> str:
    """Return seconds as milliseconds."""
    return digits(None if value is None else 1e3 * value)


def stages(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return (task, stage, version) in the order of the tables."""
    versions = [version for version in ("before", "now") if version in found]
    return [(task, stage, version) for task in found["now"] for stage in STAGES for version in versions]


def update(found: Mapping[str, Any]) -> str:
    """Return what an update costs by part, and over its yardstick."""
    rows = []
    for task, stage, version in stages(found):
        each = found[version][task][stage]
        rows.append(
            [
                f"{task}, {stage}" + (f", {version}" if "before" in found else ""),
                *(milliseconds(each.get(part, 0.0)) for part in (*PARTS, "other", "update")),
                *(f"{each['update'] / each[yardstick]:.2f}" for yardstick in ("yardstick", "yardstick with Gram")),
                f"{100 * each['projection'] / each['update']:.0f} %",
            ]
        )
    return table(["median ms", *PARTS, "other", "update", "ratio, QR", "ratio, Gram", "projection"], rows)


def yardstick(found: Mapping[str, Any]) -> str:
    """Return the yardstick's own parts."""
    names = ("gradient", "evaluations", "QR", "Gram")
    rows = []
    for task, stage, version in stages(found):
        if version == "now":
            each = found[version][task][stage]
            sums = [milliseconds(each[name]) for name in ("yardstick", "yardstick with Gram", "limit")]
            parts = (milliseconds(each[f"yardstick {name}"]) for name in names)
            rows.append([f"{task}, {stage}", f"{each['n']:.0f}", *parts, *sums, f"{each['active']:.1f}"])
    head = ["median ms", "directions", *names, "sum with QR", "sum with Gram", "limit", "active constraints"]
    return table(head, rows)


def literal(found: Mapping[str, Any]) -> str:
    """Return the literal update beside ours."""
    rows = []
    for task, each in found["now"].items():
        ours, theirs = each["late"]["update"], each["literal"]
        rows.append([f"{task}, late", milliseconds(ours), milliseconds(theirs), f"{theirs / ours:.0f}"])
    return table(["median ms", "update", "literal update", "ratio"], rows)


def projection(found: Sequence[Mapping[str, Any]]) -> str:
    """Return the projection's milliseconds by shape and way."""
    known = {name for row in found for name in row["seconds"]}
    ways = [name for name in ("auto", "sqp", "clarabel", "literal") if name in known]
    rows = []
    for row in found:
        spent = row["seconds"]
        cells = (milliseconds(spent.get(way)) for way in ways)
        ratio = f"{spent['literal'] / spent['auto']:.0f}"
        rows.append([f"{row['n']}, {row['k']}", f"{row['active']:.0f}", *cells, ratio])
    return table(["n, k", "active", *ways, "literal over auto"], rows)


def dimension(found: Sequence[Mapping[str, float]]) -> str:
    """Return time and memory against d."""
    rows = []
    for row in found:
        held = 2**20 * row["megabytes"] / (8 * SAMPLES * row["d"])
        times = milliseconds(row["update"]), digits(1e9 * row["update"] / row["d"]), milliseconds(row["outside"])
        rows.append([f"{row['d']:,.0f}", *times, digits(row["megabytes"]), digits(held, 2)])
    head = ["d", "update, ms", "ns a parameter", "outside torch, ms", "memory, MB", "memory over n d numbers"]
    return table(head, rows)


def throughput(found: Sequence[Mapping[str, Any]]) -> str:
    """Return updates a second and the parallel efficiency."""
    columns = [f"{count}, {by}" for by in ("elapsed", "processor") for count in ("one", "two", "efficiency")]
    rows = [[row["task"], *(digits(row[name]) for name in columns)] for row in found]
    head = ["updates a second", "one process", "two", "efficiency", "one, by processor time", "two", "efficiency"]
    return table(head, rows)


def optima(found: Sequence[Mapping[str, Any]]) -> str:
    """Return what each method leaves of the way to known optima, with the rollouts to 1 %, and what went wrong."""
    names = list(dict.fromkeys(row["method"] for row in found))
    rows = []
    for problem in dict.fromkeys(row["problem"] for row in found):
        here = [row for row in found if row["problem"] == problem]
        shown = {row["method"]: row for row in here if row.get("verify", True)}
        bound = [row for row in here if row.get("verify") is False]
        cells = [_left(shown[name]) if name in shown else "" for name in names]
        wrong = [sum(row["unsafe"] for row in here if row.get("verify") is verified) for verified in (True, False)]
        rows.append([problem, *cells, *map(str, wrong), str(sum(row["missed"] for row in bound))])
    head = ["left, % (rollouts to 1 %)", *names, "unsafe, verified", "unsafe, bound alone", "misses, bound alone"]
    return table(head, rows)


def _left(row: Mapping[str, Any]) -> str:
    """Return what is left and the rollouts to 1 %; for a method that passes the limit, its unsafe iterates instead."""
    gap = 100 * abs(row["gap"])
    left = f"{round(gap, 2) + 0.0:.2f}" if gap < 1000 else "diverged"
    return f"{left} ({row['unsafe']:,} unsafe)" if row.get("passes") else f"{left} ({digits(row['reached'], 1)})"


def texts(results: Mapping[str, Any]) -> dict[str, str]:
    """Return every table that ``results`` allow, by name."""
    made: dict[str, str] = {}
    if results:
        made["machine"] = f"Machine: {next(iter(results.values()))['machine']}; one thread, float64, processor time."
    for part, names in {"update": (update, yardstick, literal)}.items():
        if part in results:
            made |= {make.__name__: make(results[part]["found"]) for make in names}
    for make in (projection, dimension, throughput, optima):
        if make.__name__ in results:
            made[make.__name__] = make(results[make.__name__]["found"])
    return made


def ratios(results: Mapping[str, Any]) -> dict[str, float]:
    """Return the ratios that claims are judged by; of several states the worst counts."""
    found: dict[str, float] = {}
    if "update" in results:
        update = results["update"]["found"]
        for task, each in update["now"].items():
            name = task.replace("-", "_")
            found[f"update_over_yardstick_{name}"] = max(each[s]["update"] / each[s]["yardstick"] for s in STAGES)
            found[f"update_over_gram_{name}"] = max(each[s]["update"] / each[s]["yardstick with Gram"] for s in STAGES)
            found[f"projection_share_{name}"] = max(each[s]["projection"] / each[s]["update"] for s in STAGES)
            if "before" in update:
                found[f"before_over_now_{name}"] = update["before"][task]["late"]["update"] / each["late"]["update"]
        found["literal_over_update"] = min(each["literal"] / each["late"]["update"] for each in update["now"].values())
    if "dimension" in results:
        rows = [row for row in results["dimension"]["found"] if row["d"] >= LARGE]
        logs = np.log([[row["d"], row["update"]] for row in rows])
        found["exponent_in_dimension"] = float(np.polyfit(logs[:, 0], logs[:, 1], 1)[0])
    for row in results.get("throughput", {}).get("found", []):
        found[f"parallel_efficiency_{row['task'].replace('-', '_')}"] = row["efficiency, elapsed"]
    return found


def inserted(document: str, made: Mapping[str, str]) -> str:
    """Return ``document`` with each table between its markers, <!-- bench:NAME --> and <!-- /bench -->."""
    for name, text in made.items():
        block = f"<!-- bench:{name} -->\n{text}\n<!-- /bench -->"
        document = re.sub(
            rf"<!-- bench:{name} -->.*?<!-- /bench -->", lambda _, to=block: to, document, flags=re.DOTALL
        )
    return document
