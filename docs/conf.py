"""Settings of the documentation site (`make docs`).

The root of its sources is the repository, so that the links of the pages work here as they do there.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import replication.cli  # noqa: F401  # registers the commands
import scpo

project, release, author = "SCPO", scpo.__version__, "The SCPO replication authors"
copyright = author  # no year, so that a build is the same every day
html_show_copyright = False

root_doc = "docs/index"
include_patterns = ["docs/**.md", "docs/*.rst", "notebooks/*.ipynb", "REPRODUCE.md", "CONTRIBUTING.md", "CHANGELOG.md"]
exclude_patterns = [".*", "results", "logs", "dist", "shipped", "build", "src", "tests", "**/.ipynb_checkpoints"]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "cyclopts.sphinx_ext",
    "rendering",
]
source_suffix = {
    ".md": "markdown",
    ".rst": "restructuredtext",
    ".ipynb": "markdown",
}  # rendering.py turns notebooks into Markdown
myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 3
#: results/<scale> whose executed notebooks are shown; `make docs` makes those of the shipped results first
executed_notebooks = "results/shipped/study"

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say types with their shapes
napoleon_google_docstring = True
napoleon_use_rtype = False
napoleon_use_ivar = True  # attributes of dataclasses are described once

html_theme = "furo"
html_title = "SCPO"
html_math_renderer = "mathml"
html_copy_source = False
html_static_path = ["static"]
html_css_files = ["site.css"]
pygments_style = "friendly"
