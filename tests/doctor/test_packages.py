from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from alignc.doctor import packages as module
from alignc.doctor.packages import KNOWN, packages

ROOT = Path(__file__).parents[2]


def test_the_table_is_that_of_the_constraints_and_the_project():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    known = dict(line.split("==") for line in lines if "==" in line)
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    for name, (good, span) in KNOWN.items():
        assert known[name] == good
        assert [each.partition(";")[0].strip() for each in declared if each.startswith(name)] == [name + span]


def found(
    monkeypatch: pytest.MonkeyPatch, version: str | None, name: str = "peft", needed: str = ""
) -> tuple:
    monkeypatch.setattr(module, "installed", lambda asked: version if asked == name else "1")
    (one,) = (each for each in packages({needed}) if each.name == name)
    return one.state, one.help


def test_versions_are_judged(monkeypatch: pytest.MonkeyPatch):
    assert found(monkeypatch, "0.21.2") == ("ok", None)
    assert found(monkeypatch, "0.19.0") == ("note", None)
    assert found(monkeypatch, "0.17.1") == ("lacks", "pip install 'peft==0.21.2'")
    assert found(monkeypatch, None) == ("lacks", "pip install 'peft==0.21.2'")
    assert found(monkeypatch, "2.13.0+cpu", "torch") == ("ok", None)
    assert found(monkeypatch, "2.14.0", "torch") == ("lacks", "pip install 'torch==2.13.0'")


def test_an_extra_lacks_where_a_spec_needs_it(monkeypatch: pytest.MonkeyPatch):
    assert found(monkeypatch, None, "vllm") == ("note", None)
    state, help_ = found(monkeypatch, None, "vllm", needed="vllm")
    assert (state, "alignc[vllm]" in help_) == ("lacks", True)
    assert found(monkeypatch, "0.31.0", "vllm", needed="vllm")[0] == "ok"
