"""Random legal objectives: `verify` refutes nothing of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from alignc.verify import Claim, Verdict, Verified

from . import drawn
from .drawn import Seen, main, refutes_nothing


@pytest.mark.parametrize("start", range(0, 60, 20))
def test_nothing_is_refuted(start: int) -> None:
    failed = {seed: found for seed in range(start, start + 20) if (found := refutes_nothing(seed))}
    assert failed == {}


@pytest.mark.long
def test_nothing_is_refuted_of_thousands(tmp_path: Path) -> None:
    assert main([str(tmp_path / "tally.json"), "10000:12000"]) == 0


def test_what_is_refuted_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim that fails on every spec is found on the sound ones."""
    wrong = Claim("about", "says", "found", 1.0, Verdict.REFUTED)
    monkeypatch.setattr(drawn, "verify", lambda spec, loss: Verified("spec", (wrong,)))
    assert any(refutes_nothing(seed) == ["verify: about: says: found 1.0"] for seed in range(20))
    assert Seen().verdicts == {}
