"""Checkpoints of an unfinished run: written atomically, loaded without running code, removed when the run is done."""

from __future__ import annotations

import hashlib
import shutil
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from replication import files
from replication.training.run import Run

NAME = "state.pt"
SEAL = hashlib.sha256().digest_size


def save(folder: Path, run: Run, fingerprint: str) -> None:
    """Write the state of ``run``; ``fingerprint`` identifies its settings, seed and data."""
    state = {
        "fingerprint": fingerprint,
        "policy": run.policy.state_dict(),
        "method": run.method.state_dict(),
        "batches": run.batches.get_state(),
        "records": run.records.state_dict(),
    }
    files.write_bytes(folder / NAME, sealed(state))


def sealed(state: dict[str, Any]) -> bytes:
    """Return ``state`` as bytes that begin with their SHA-256, since torch loads altered numbers without an error."""
    content = BytesIO()
    torch.save(state, content)
    return hashlib.sha256(content.getvalue()).digest() + content.getvalue()


def load(folder: Path, run: Run, fingerprint: str) -> bool:
    """Restore ``run`` from ``folder``; return False if it holds no usable checkpoint, so that the run starts anew."""
    path = folder / NAME
    if not path.exists():
        return False
    try:
        content = path.read_bytes()
        seal, body = content[:SEAL], content[SEAL:]
        if hashlib.sha256(body).digest() != seal:
            raise ValueError("its seal is broken")
        state = torch.load(BytesIO(body), weights_only=True)
    except Exception as error:  # half a pickle can fail in any way
        print(f"{path}: damaged checkpoint, starting anew ({type(error).__name__})", file=sys.stderr)
        return False
    if state.get("fingerprint") != fingerprint:
        print(f"{path}: checkpoint of other settings or data, starting anew", file=sys.stderr)
        return False
    run.policy.load_state_dict(state["policy"])
    run.method.load_state_dict(state["method"])
    run.batches.set_state(state["batches"])
    run.records.load_state_dict(state["records"])
    return True


def remove(folder: Path) -> None:
    """Remove the checkpoint of a finished run."""
    shutil.rmtree(folder, ignore_errors=True)
