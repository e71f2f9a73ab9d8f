"""Write every case's explain.txt anew: `python -m tests.regenerate`. Read the difference before it is committed."""

from __future__ import annotations

from pathlib import Path

from alignc.api import explain
from alignc.explain.show import show

__all__ = ["CASES", "explained"]

CASES = Path(__file__).with_name("cases")


def explained(case: Path) -> str:
    """Explain a case's spec; a file is named by its last part, wherever it lies."""
    text = show(explain(case / "spec.yaml"))
    return text.replace(f"{case}/", "")


if __name__ == "__main__":
    for spec in sorted(CASES.glob("*/spec.yaml")):
        (spec.parent / "explain.txt").write_text(explained(spec.parent), "utf-8")
