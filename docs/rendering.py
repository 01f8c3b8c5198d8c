"""What the site does by itself: mathematics as MathML, executed notebooks as pages.  Neither needs a network."""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx

_TAG = re.compile(r"\\tag\{([^{}]*)\}")
#: Accents with an index, which docutils sets below the letter and not beside it; bars, which it spaces as relations.
_ACCENT = re.compile(
    r"<munderover>\s*(<mi>[^<]*</mi>)\s*((?:(?!</?munderover>).)*?)\s*"
    r"(<mo [^>]*>[\u02c6~\u02c9\u02d9]</mo>)\s*</munderover>",
    re.DOTALL,
)
#: The digits after a fraction are two arguments to TeX, and one number to docutils.
_NUMERATOR = re.compile(r"(\\[td]?frac)\s*(\d)")
_DENOMINATOR = re.compile(r"(\\[td]?frac\s*(?:\{[^{}]*\}|\\[a-zA-Z]+))\s*(\d)")
_BAR = re.compile(r"<mo( [^>]*)?>([|‖])</mo>")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register both with Sphinx."""
    app.add_html_math_renderer("mathml", (_inline_math, None), (_block_math, None))
    app.add_config_value("executed_notebooks", "", "env", str)
    app.connect("source-read", _read_notebook)
    app.connect("autodoc-process-docstring", _escape)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _mathml(formula: str, block: bool) -> str:
    formula = _DENOMINATOR.sub(r"\1{\2}", _NUMERATOR.sub(r"\1{\2}", formula))
    text = tex2mathml(formula, as_block=block)
    text = _ACCENT.sub(r"<msub><mover accent='true'>\1\3</mover>\2</msub>", text)
    return _BAR.sub(r'<mo\1 lspace="0" rspace="0">\2</mo>', text)


def _inline_math(self: Any, node: nodes.math) -> None:
    self.body.append(_mathml(node.astext(), block=False))
    raise nodes.SkipNode


def _block_math(self: Any, node: nodes.math_block) -> None:
    """Write a formula, and beside it the number that it is tagged with."""
    tag = _TAG.search(node.astext())
    number = f'<span class="eqno">({escape(tag[1])})</span>' if tag else ""
    formula = _mathml(_TAG.sub("", node.astext()), block=True)
    self.body.append(f'<div class="math notranslate">{number}{formula}</div>\n')
    raise nodes.SkipNode


def _read_notebook(app: Sphinx, name: str, source: list[str]) -> None:
    """Turn a notebook into Markdown: the executed copy where it was made, else the notebook without outputs."""
    if app.env.doc2path(name).suffix != ".ipynb":
        return
    root = Path(app.srcdir)
    executed = root / app.config.executed_notebooks / Path(name).name / "notebook.ipynb"
    if executed.is_file():
        app.env.note_dependency(executed)
        source[0] = _markdown(json.loads(executed.read_text(encoding="utf-8")), "")
    else:
        source[0] = _markdown(json.loads(source[0]), "*Not executed here; `make docs` shows the outputs.*")


def _markdown(notebook: dict[str, Any], note: str) -> str:
    """Return the cells and their outputs as Markdown, ``note`` below the title."""
    parts: list[str] = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"]).strip()
        if cell["cell_type"] == "markdown":
            parts.append(source)
            if len(parts) == 1 and note:
                parts.append(note)
        elif cell["cell_type"] == "code" and source:
            parts.append(f"```python\n{source}\n```")
            parts += [_output(output) for output in cell["outputs"]]
    return "\n\n".join(parts) + "\n"


def _output(output: dict[str, Any]) -> str:
    """Return an output of a cell: a picture, a table, or text."""
    data = output.get("data", {})
    if "image/png" in data:
        picture = "".join("".join(data["image/png"]).split())
        return _raw(f'<img class="output" alt="Output of the cell above" src="data:image/png;base64,{picture}">')
    if "text/html" in data:
        return _raw(f'<div class="output">{"".join(data["text/html"])}</div>')
    text = "".join(output.get("text", data.get("text/plain", "")))
    return f"```text\n{text.rstrip()}\n```" if text.strip() else ""


def _raw(html: str) -> str:
    return f"```{{raw}} html\n{html}\n```"


def _escape(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Keep the bars and stars of formulas, as in |z| and z*, from being read as markup."""
    lines[:] = [_escaped(line) for line in lines]


def _escaped(line: str) -> str:
    if line.lstrip().startswith((">>>", "..")):
        return line
    pieces = re.split(r"(``.*?``|\*\*.*?\*\*)", line)
    return "".join(piece if at % 2 else re.sub(r"(?<!\\)([|*])", r"\\\1", piece) for at, piece in enumerate(pieces))
