"""Small faults written into the core's safety arithmetic, one at a time: some test must fail for each."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

from .common import PROJECT, Row, report, run, working_copy

#: file below src/scpo -> the tests that are to kill its mutants, quickest first
TESTS = {
    "region.py": ("region", "projection", "update", "guarantees"),
    "projection.py": ("projection", "projection_falsified", "backend_agreement"),
    "update.py": ("update", "basis", "kinks", "room", "guarantees", "falsification", "optimizer", "bad_input"),
    "smoothness.py": ("smoothness", "kinks", "update"),
    "buffer.py": ("buffer",),
    "sampling.py": ("basis",),
    "optimizer.py": ("optimizer", "bad_input"),
}
PASSED, FAILED = 0, 1  # exit statuses of pytest; all others are no verdict
CURVATURE = " + 0.5 * self.smoothness * length**2"
BOUND = "return self.values + self.slopes @ z + self.probe_error * length"
ROWS = "self.kappa * self.values + self.slopes @ z + self.probe_error * length"


@dataclass(frozen=True)
class Mutant:
    """A fault: in ``file``, ``old`` (which must be there exactly once) becomes ``new``."""

    what: str
    file: str
    old: str
    new: str

    def write(self, source: str) -> str:
        """Return ``source`` with the fault.

        Raises:
            SystemExit: the place is not there, or not unique; the list has to follow the code.
        """
        if (found := source.count(self.old)) != 1:
            raise SystemExit(f"mutant {self.what!r}: {found} places in {self.file} read {self.old!r}")
        return source.replace(self.old, self.new)


REGION = (
    Mutant("bound without curvature", "region.py", BOUND + CURVATURE, BOUND),
    Mutant("bound without e", "region.py", BOUND, BOUND.removesuffix(" + self.probe_error * length")),
    Mutant("bound with slopes turned round", "region.py", BOUND, BOUND.replace("+ self.slopes", "- self.slopes")),
    Mutant("region with kappa ignored", "region.py", ROWS, ROWS.removeprefix("self.kappa * ")),
    Mutant("region without e", "region.py", ROWS, ROWS.removesuffix(" + self.probe_error * length")),
    Mutant("region with slopes turned round", "region.py", ROWS, ROWS.replace("+ self.slopes", "- self.slopes")),
    Mutant("region with half the curvature", "region.py", ROWS + CURVATURE, ROWS + CURVATURE.replace("0.5", "0.25")),
    Mutant("region without radius", "region.py", "return length <= self.radius and bool(", "return bool("),
    Mutant("membership without its own rounding", "region.py", " + self.roundoff * magnitude <= 0", " <= 0"),
    Mutant(
        "rounding taken as zero", "region.py", "return float(self.slopes.shape[1] + 8) * UNIT_ROUNDOFF", "return 0.0"
    ),
    Mutant("pull-back skipped", "region.py", "if self.contains(z) and z @ z <= z @ target:", "if z.any():"),
    Mutant(
        "pull-back without its check",
        "region.py",
        "if self.contains(candidate) and candidate @ candidate <= candidate @ target:",
        "if candidate.any():",
    ),
    Mutant("pull-back without descent", "region.py", " and candidate @ candidate <= candidate @ target:", ":"),
    Mutant("unsafe values accepted", "region.py", "if (g > 0).any():", "if g.size > 10**9:"),
    Mutant("negative constants accepted", "region.py", "if (array < 0).any():", "if array.size > 10**9:"),
)
PROJECTION = (
    Mutant(
        "projection without pull-back", "projection.py", "region.pull_back(solution.point, target)", "solution.point"
    ),
    Mutant("projection of any accuracy", "projection.py", "if kkt <= KKT_TOLERANCE or ", "if kkt < 1e9 or "),
    Mutant("gap judged where multipliers matter", "projection.py", "(slater < SLATER_SLACK and gap", "(gap"),
    Mutant(
        "inside without radius", "projection.py", "if region.contains(target):", "if (region.rows(target) <= 0).all():"
    ),
    Mutant("capped without a look", "projection.py", "if region.contains(capped):", "if capped.any():"),
    Mutant(
        "rows dropped without curvature",
        "projection.py",
        "        + region.probe_error * reach\n        + 0.5 * region.smoothness * reach**2\n",
        "        + region.probe_error * reach\n",
    ),
    Mutant("rows dropped without e", "projection.py", "        + region.probe_error * reach\n", ""),
    Mutant("multipliers lost", "projection.py", "duals[kept] = solution.duals", "duals[kept] = 0.0 * solution.duals"),
    Mutant("residual without e", "projection.py", "pull - error * outward - (1", "pull - (1"),
    Mutant("residual without curvature", "projection.py", "(1 + curvature) * point", "point"),
)
ERROR = "error = np.sqrt(n) * (0.5 * constants * step + 2.0 * start.rounding / step)"
REJECTED = "rejected = settings.verify and not restoring and bool((values + settings.margin > 0).any())"
UPDATE = (
    Mutant(
        "slopes turned round", "update.py", "((probes - start.values) / step).T", "((start.values - probes) / step).T"
    ),
    Mutant("e dropped", "update.py", ERROR, "error = 0.0 * constants"),
    Mutant("e without the number of directions", "update.py", ERROR, ERROR.replace("np.sqrt(n) * ", "")),
    Mutant("e without rounding", "update.py", ERROR, ERROR.replace(" + 2.0 * start.rounding / step", "")),
    Mutant("e without curvature", "update.py", ERROR, ERROR.replace("0.5 * constants * step + ", "")),
    Mutant(
        "kinks left out of the bound",
        "update.py",
        "start.rounding / step) + kinks\n        reg",
        "start.rounding / step)\n        reg",
    ),
    Mutant("kinks left out of what was needed", "update.py", "(excess - kinks * length) / curved", "excess / curved"),
    Mutant("safe probes without kinks", "update.py", "    bound = bound + kinks\n", ""),
    Mutant("kappa ignored", "update.py", "radius / longer, settings.kappa", "radius / longer, 1.0"),
    Mutant("radius ignored", "update.py", "radius / longer, settings.kappa", "np.inf, settings.kappa"),
    Mutant("the basis taken for orthonormal", "update.py", "longer = 1.0 + ORTHONORMAL", "longer = 1.0"),
    Mutant("near duplicates orthogonalised once", "sampling.py", "max(1.0, values[0] / CLEAR_OF)", "1e-4"),
    Mutant("directions whose squares underflow", "sampling.py", "where=sizes > SHORTEST", "where=sizes > 0"),
    Mutant("margin ignored", "update.py", "tightened = start.values + settings.margin", "tightened = start.values"),
    Mutant("rounding left in the slack", "update.py", "tightened + 2.0 * start.rounding / settings.kappa", "tightened"),
    Mutant(
        "promise not compared with the room",
        "update.py",
        "if z.any() and (promised + 2 * start.rounding > allowed).any():",
        "if not z.size:",
    ),
    Mutant("verification skipped", "update.py", REJECTED, "rejected = False"),
    Mutant("verification without margin", "update.py", REJECTED, REJECTED.replace(" + settings.margin", "")),
    Mutant(
        "last retry taken unseen", "update.py", "projection.point if not give_up else np.zeros(n)", "projection.point"
    ),
    Mutant(
        "L not raised after a rejection",
        "update.py",
        "constants = np.maximum(smoothness.constants(), raised)",
        "constants = smoothness.constants()",
    ),
    Mutant(
        "bound misses not counted",
        "update.py",
        "self.misses += int((values > promised + 2.0 * start.rounding).sum())",
        "self.misses += 0",
    ),
    Mutant(
        "bound misses counted without rounding",
        "update.py",
        "(values > promised + 2.0 * start.rounding)",
        "(values > promised)",
    ),
    Mutant(
        "unsafe proposals not counted",
        "update.py",
        "        if (values > 0).any():\n            self.unsafe",
        "        if (values > np.inf).any():\n            self.unsafe",
    ),
    Mutant(
        "unsafe probes not counted", "update.py", "unsafe_looks + int((probes > 0).any(axis=1).sum())", "unsafe_looks"
    ),
    Mutant("violations not seen", "update.py", "restoring = bool((start.values > 0).any())", "restoring = False"),
    Mutant("restoring no deeper than the limit", "update.py", "RESTORING_ROUNDING * rounding[short]", "0.0"),
    Mutant("restoring violations alone", "update.py", "tightened + 2.0 * rounding > 0", "tightened > 0"),
    Mutant("restoring uphill", "update.py", "downhill: Array = -slopes", "downhill: Array = slopes"),
    Mutant("required L halved", "update.py", "step * length + 0.5 * length**2\n", "step * length + length**2\n"),
    Mutant(
        "descent row left out",
        "update.py",
        "descent_row = (basis.T @ start.gradient).cpu().numpy()",
        "descent_row = None",
    ),
    Mutant("safe probes twice as long", "update.py", "np.divide(2.0 * slack, root", "np.divide(4.0 * slack, root"),
    Mutant(
        "safe probes without curvature",
        "update.py",
        "root = bound + np.sqrt(bound**2 + 2.0 * constants * slack)",
        "root = 2.0 * bound",
    ),
    Mutant("safe probes with slopes that forget kinks", "update.py", "known + 2.0 * kinks + ", "known + "),
    Mutant("safe probes with stale slopes", "update.py", "known + 2.0 * kinks + constants * length,", "known,"),
)
SMOOTHNESS = (
    Mutant("safety factor ignored", "smoothness.py", "self.factor * np.maximum(", "np.maximum("),
    Mutant("pooling ignored", "smoothness.py", "np.maximum(self._observed, self._pooled())", "self._observed"),
    Mutant(
        "observations ignored", "smoothness.py", "np.where(reliable, required, 0.0)", "np.where(reliable, 0.0, 0.0)"
    ),
    Mutant("rounding learnt from", "smoothness.py", "np.where(reliable, required, 0.0)", "required"),
    Mutant(
        "estimated radius without evidence",
        "smoothness.py",
        "min(self.max_radius, self.growth * self._longest)",
        "self.max_radius",
    ),
    Mutant("estimate that forgets at once", "smoothness.py", "self.decay * self._observed", "0.0 * self._observed"),
    Mutant("kinks forgotten at once", "smoothness.py", "self.decay * self._jumps", "0.0 * self._jumps"),
    Mutant("kinks without the factor", "smoothness.py", "self.kink_factor * self._jumps", "1.0 * self._jumps"),
    Mutant("all residuals are kinks", "smoothness.py", "np.minimum(needed, most)", "0.0 * needed"),
    Mutant("kinks counted as curvature too", "smoothness.py", "np.minimum(needed, most)", "needed"),
    Mutant("given radius ignored", "smoothness.py", "        return self._radius\n", "        return np.inf\n"),
)
OPTIMIZER = (
    Mutant("unsafe start accepted", "optimizer.py", 'self._refuse_unsafe(self._values, "at the start")', "pass"),
    Mutant(
        "start judged without margin", "optimizer.py", "values[worst] + self.settings.margin > 0:", "values[worst] > 0:"
    ),
    Mutant(
        "policy not restored after an error",
        "optimizer.py",
        "            self.vector.write(theta)\n            self.vector.write_rest(self.policy, entry)\n",
        "            self.vector.write_rest(self.policy, entry)\n",
    ),
)
BUFFER = (
    Mutant("all of the way back at once", "buffer.py", "RECOVERY * inside", "inside"),
    Mutant("metrics far away turn steps", "buffer.py", " & (values > -REACH * buffer)", ""),
    Mutant("buffer without width", "buffer.py", "values[near] + buffer", "values[near]"),
    Mutant("slopes not made unit", "buffer.py", "slopes[near] / norms[near, None]", "slopes[near]"),
)
MUTANTS = (*REGION, *PROJECTION, *UPDATE, *SMOOTHNESS, *OPTIMIZER, *BUFFER)


def main(folder: Path, jobs: int) -> bool:
    """Run the tests on every mutant in copies of the working tree; a mutant that no test notices has survived.

    Args:
        folder: a temporary one.
        jobs: copies, each with one mutant at a time.
    """
    for mutant in MUTANTS:
        mutant.write((PROJECT / "src/scpo" / mutant.file).read_text())
    free: Queue[Path] = Queue()
    for index in range(jobs):
        free.put(working_copy(folder / str(index)))

    def judged(mutant: Mutant) -> Row:
        copy = free.get()
        path = copy / "src/scpo" / mutant.file
        honest = path.read_text()
        path.write_text(mutant.write(honest))
        status, last = _tests(copy, mutant.file)
        path.write_text(honest)
        free.put(copy)
        verdict = {PASSED: "SURVIVED", FAILED: "killed by "}.get(status, f"no verdict, exit status {status}: ") + last
        print(f"  {mutant.file}: {mutant.what}: {verdict}", flush=True)
        return Row(f"{mutant.file}: {mutant.what}", "killed", verdict, status == FAILED)

    with ThreadPoolExecutor(jobs) as pool:
        rows = list(pool.map(lambda file: _untouched(free, file), TESTS))
        if all(row.passed for row in rows):
            rows += pool.map(judged, MUTANTS)
    return report("mutants", rows)


def _untouched(free: Queue[Path], file: str) -> Row:
    copy = free.get()
    status, last = _tests(copy, file)
    free.put(copy)
    return Row(f"{file}: untouched", "its tests pass", "pass" if status == PASSED else last, status == PASSED)


def _tests(copy: Path, file: str) -> tuple[int, str]:
    """Return pytest's exit status and, if a test failed, its name."""
    names = [f"tests/test_{name}.py" for name in TESTS[file]]
    options = ["-x", "-p", "no:cacheprovider", "--hypothesis-seed=0", "--tb=no", "-rfE"]
    done = run(["python", "-m", "pytest", *options, *names], copy)
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    name = failed[-1].split(" - ")[0].split("::")[-1] if failed else ""
    return done.returncode, name if done.returncode in (PASSED, FAILED) else (done.stdout + done.stderr)[-500:]
