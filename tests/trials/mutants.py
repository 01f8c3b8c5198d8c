"""Mutation testing of the method: small faults that mutmut writes into the core, each of which some test must notice.

What is mutated and which tests run is set under [tool.mutmut] in pyproject.toml: the method's tests but the slow ones.
The core has thousands of mutants, so a sample with a fixed seed is tried.  Mutants that change messages alone are left
out.
"""

from __future__ import annotations

import ast
import random
import re
import subprocess
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import islice
from pathlib import Path

from mutmut.configuration import config
from mutmut.mutation.file_mutation import mutate_file_contents

from .common import PROJECT, NotRun, Options, Row, named, run, working_copy

#: Share of the sampled mutants that the tests must notice; some of the others change nothing that can be seen.
FLOOR = 0.8
SEED = 0
#: Verdicts of mutmut that mean that a test noticed the mutant.
NOTICED = ("killed", "segfault")


def main(folder: Path, options: Options) -> list[Row]:
    """Try a sample of mutants in a copy of the working tree: were enough of them noticed?"""
    found = [mutant for mutant in mutants() if fnmatch(mutant.name, options.pattern)]
    random.Random(SEED).shuffle(found)
    telling = filter(Mutant.changes_more_than_messages, found)
    chosen = sorted(mutant.name for mutant in islice(telling, options.sample))
    print(f"mutants: {len(chosen)} of {len(found)}", flush=True)
    if not chosen:
        raise NotRun(f"no mutant has a name like {options.pattern}")

    copy = working_copy(folder / "copy")
    done = run(["mutmut", "run", "--max-children", str(options.jobs), *chosen], copy)
    verdicts = dict(re.findall(r"^ +(\S+): (.+)$", run(["mutmut", "results", "--all", "true"], copy).stdout, re.M))
    if done.returncode or not all(verdicts.get(name, "not checked") != "not checked" for name in chosen):
        said = (done.stdout + done.stderr)[-2000:]
        return [Row("mutmut run", "a verdict on each mutant", said, passed=False)]
    unnoticed = [name for name in chosen if verdicts[name] not in NOTICED]
    for name in unnoticed:
        print(f"mutants: {name} {verdicts[name]}: {_difference(copy, name)}", flush=True)
    share = 1 - len(unnoticed) / len(chosen)
    observed = f"{share:.0%} noticed" + (f"; not: {named(unnoticed, 20)}" if unnoticed else "")
    return [Row(f"{len(chosen)} of {len(found)} mutants", f"{FLOOR:.0%} noticed", observed, share >= FLOOR)]


@dataclass(frozen=True)
class Mutant:
    """A mutant of one function: its name, the function as it is, and the function with the fault."""

    name: str
    original: str
    mutated: str

    def changes_more_than_messages(self) -> bool:
        """Return whether the two functions differ in more than strings and the arguments of errors."""
        return _meaning(self.original) != _meaning(self.mutated)


def mutants() -> Iterator[Mutant]:
    """Yield every mutant of the core."""
    for path in sorted(PROJECT.glob("src/**/*.py")):
        if not config().should_mutate(path.relative_to(PROJECT)):
            continue
        generated = mutate_file_contents(str(path), path.read_text())
        lines = generated.code.splitlines()
        module = ".".join(path.relative_to(PROJECT / "src").with_suffix("").parts)
        source = {
            name: "\n".join(lines[span.start - 1 : span.end])
            for name, span in generated.line_span_by_function_name.items()
        }
        for name in generated.mutant_names:
            yield Mutant(f"{module}.{name}", source[re.sub(r"_\d+$", "_orig", name)], source[name])


def _meaning(source: str) -> str:
    """Return the syntax tree of a function without its name, its strings and the arguments of its errors."""
    function = ast.parse(textwrap.dedent(source)).body[0]
    assert isinstance(function, ast.FunctionDef)
    function.name = "function"
    return ast.dump(_WithoutMessages().visit(function))


class _WithoutMessages(ast.NodeTransformer):
    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant("") if isinstance(node.value, str) else node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return ast.Constant("")

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        if isinstance(node.exc, ast.Call):
            node.exc = node.exc.func
        return node


def _difference(copy: Path, name: str) -> str:
    """Return the lines that a mutant removes (-) and adds (+)."""
    shown: subprocess.CompletedProcess[str] = run(["mutmut", "show", name], copy)
    lines = [line for line in shown.stdout.splitlines() if re.match(r"[-+](?![-+])", line)]
    return " | ".join(re.sub(r"\s+", " ", line) for line in lines)
