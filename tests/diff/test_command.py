"""`alignc diff` and `alignc.diff`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import alignc

SPEC = (
    "version: 1\nobjective: {{preset: {}}}\nmodel: {{policy: a/b}}\ndata: {{kind: pairwise, source: c/d}}\n"
)


@pytest.fixture
def specs(tmp_path: Path) -> tuple[str, str]:
    for name in ("cpo", "dpo"):
        (tmp_path / f"{name}.yaml").write_text(SPEC.format(name))
    return str(tmp_path / "cpo.yaml"), str(tmp_path / "dpo.yaml")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "alignc", "diff", *arguments], capture_output=True, text=True, check=False
    )


def test_json(specs: tuple[str, str]) -> None:
    done = run(*specs, "--format", "json", "--set-a", "objective.sft_weight=0")
    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert set(found) == {
        "verdict", "factor", "constant", "conditions", "conditional", "changes", "trace", "witness",
        "formula", "tolerance", "strictness",
    }  # fmt: skip
    assert found["verdict"] == "different"
    assert found["conditional"][0]["verdict"] == "equal"
    assert set(found["witness"]) == {"words", "a", "b"}
    changed = {c["name"]: (c["a"], c["b"]) for c in found["changes"]}
    assert changed["sft_weight"] == ("0 (--set)", None)


def test_text(specs: tuple[str, str]) -> None:
    done = run(specs[1], specs[1], "--set-b", "objective.beta=0.2")
    lines = done.stdout.splitlines()
    assert lines[3].startswith("different: ")
    assert any("beta: 0.1 (preset:dpo) → 0.2 (--set)" in line for line in lines)
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize(("which", "expected"), [((0, 1), 1), ((1, 1), 0)])
def test_exit_code(specs: tuple[str, str], which: tuple[int, int], expected: int) -> None:
    assert run(specs[which[0]], specs[which[1]], "--exit-code").returncode == expected


def test_undecided_has_an_exit_code_of_its_own(tmp_path: Path) -> None:
    term = "{{name: p, kind: preference, score: {{of: log_ratio, beta: 0.1}}, link: '{}'}}"
    for name, link in (("a", "softplus(-z)"), ("b", "log(1+exp(-z))")):
        text = SPEC.format("dpo").replace("preset: dpo", f"terms: [{term.format(link)}]")
        (tmp_path / f"{name}.yaml").write_text(text)
    paths = (str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml"))
    done = run(*paths, "--exit-code", "--format", "json")
    assert (done.returncode, json.loads(done.stdout)["verdict"]) == (5, "undecided")
    assert run(*paths).returncode == 0


def test_a_broken_spec_is_a_finding(specs: tuple[str, str]) -> None:
    done = run(*specs, "--set-b", "objective.bta=1")
    assert done.returncode == 1
    assert "error[E002]" in done.stderr


def test_python_interface(specs: tuple[str, str]) -> None:
    for _ in range(2):
        found = alignc.diff(*specs, ["objective.sft_weight=0"])
        assert found.conditional[0].verdict == "equal"
    assert alignc.explain(specs[0]).name == "cpo"
