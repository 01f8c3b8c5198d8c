#!/usr/bin/env bash
# Writes requirements.lock: the versions that requirements.in resolves to on Linux with Python 3.11, and the SHA-256 of
# every file of theirs on the package index.  Versions that the lock has stay; delete it, or a line of it, to renew them.
# Torch is left out, because which build of it is taken differs from machine to machine; requirements.in has its version.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=$(command -v uv) || { echo "lock: needs uv (pip install uv)" >&2; exit 1; }

new=$(mktemp)
trap 'rm -f "$new"' EXIT
[ ! -e requirements.lock ] || cp requirements.lock "$new"
"$uv" pip compile requirements.in --output-file "$new" --quiet --generate-hashes --annotation-style line --no-header \
    --python-version 3.11 --python-platform x86_64-manylinux_2_28 --no-emit-package torch
# what PyPI's build of torch brings for accelerators is no requirement of this project
python3 - "$new" <<'PROGRAM'
import re
import sys

TORCH_ONLY = re.compile(r"(nvidia|cuda)-|triton==")
with open(sys.argv[1], encoding="utf-8") as file:
    blocks = re.findall(r"^\S.*(?:\n[ ].*)*", re.sub(r"(?m)^#.*\n", "", file.read()), re.MULTILINE)
with open("requirements.lock", "w", encoding="utf-8") as file:
    print("# Exact versions of everything that the project uses, resolved from requirements.in for Linux and Python 3.11.", file=file)
    print("# Written by `make lock`.  Torch is in requirements.in alone: any build of that version will do.", file=file)
    print(*(block for block in blocks if not TORCH_ONLY.match(block)), sep="\n", file=file)
PROGRAM
