"""``python -m scpo``: see :mod:`scpo.cli`."""

from __future__ import annotations

import sys

from scpo.cli import main

if __name__ == "__main__":
    sys.exit(main())
