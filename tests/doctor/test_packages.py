from __future__ import annotations

import pytest

from alignc.doctor import packages as module
from alignc.doctor.packages import packages


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
    assert found(monkeypatch, "2.14.0", "torch") == ("note", None)
    assert found(monkeypatch, "2.7.1", "torch") == ("lacks", "pip install 'torch==2.13.0'")


def test_an_extra_lacks_where_a_spec_needs_it(monkeypatch: pytest.MonkeyPatch):
    assert found(monkeypatch, None, "vllm") == ("note", None)
    state, help_ = found(monkeypatch, None, "vllm", needed="vllm")
    assert (state, "alignc[vllm]" in help_) == ("lacks", True)
    assert found(monkeypatch, "0.31.0", "vllm", needed="vllm")[0] == "ok"


def test_a_deepspeed_that_loses_gradients_is_lacking(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "installed", lambda asked: "0.18.9" if asked == "deepspeed" else "1")
    (one,) = (each for each in packages({"deepspeed"}) if each.name == "deepspeed")
    assert (one.state, one.help) == ("lacks", "pip install 'deepspeed==0.19.8'")
    assert one.found.startswith(
        "0.18.9 is installed, but >=0.19,<0.20 is needed: below 0.19, ZeRO-2 loses gradients"
    )
