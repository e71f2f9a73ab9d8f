from __future__ import annotations

import json
from pathlib import Path

import pytest

from alignc.doctor import examine, probe

from .conftest import Alignc


@pytest.fixture(autouse=True)
def _a_machine_with_its_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torch have answered: asking it takes seconds, and tests of its own look at that."""
    monkeypatch.setattr("alignc.doctor.examination.probe", probe.Torch)


def test_a_table_of_marks(alignc: Alignc, here: Path):
    done = alignc("doctor", "spec.yaml")
    assert done.code == 0
    assert "  ✓ torch" in done.out
    assert "  ✓ processes     1, on the CPU\n" in done.out
    assert done.out.endswith("\nnothing is missing\n")


def test_what_lacks_has_a_way_out_and_the_exit_code(alignc: Alignc, here: Path):
    done = alignc("doctor", "spec.yaml", "--set", "data.source=none.jsonl")
    assert done.code == 3
    lines = done.out.splitlines()
    (place,) = (number for number, line in enumerate(lines) if line.startswith("  ✗ "))
    assert "none.jsonl" in lines[place]
    assert lines[place + 1].strip().startswith("→ ")
    assert lines[-1] == "1 thing is missing"


def test_json_holds_the_same(alignc: Alignc, here: Path):
    done = alignc("doctor", "--format", "json")
    data = json.loads(done.out)
    assert (done.code, data["sound"]) == (0, True)
    assert [c["name"] for c in data["checks"]] == [each.name for each in examine(torch=probe.Torch())]
    assert {c["state"] for c in data["checks"]} == {"ok", "note"}


def test_a_faulty_spec_is_told_as_ever(alignc: Alignc, here: Path):
    done = alignc("doctor", "spec.yaml", "--set", "objective.bata=1")
    assert (done.code, "E002" in done.err, done.out) == (1, True, "")
