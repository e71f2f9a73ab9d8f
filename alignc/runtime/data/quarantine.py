"""Set refused rows aside in a file, each with its reason."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...contract.failure import Failure

__all__ = ["write_quarantine"]


def write_quarantine(path: Path, refused: Iterable[tuple[Failure, Any]]) -> None:
    """Write a JSON line for each refused row, with its fields; whole or not at all, for ranks may write it together."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    lines = [json.dumps(_line(failure, row), default=str) for failure, row in refused]
    beside.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    beside.replace(path)


def _line(failure: Failure, fields: Any) -> dict[str, Any]:
    place = {"file": failure.file, "line": failure.line, "column": failure.column}
    return {**place, "code": failure.code, "message": failure.message, "row": fields}
