"""The outputs that the pages show are those of the commands above them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from alignc.api import explain, lowered
from alignc.explain.show import show

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PAIR = '{"question": "2+2=", "good": "4", "bad": "5"}\n'
SPEC = "model: {policy: Qwen/Qwen2.5-0.5B-Instruct}\ndata: {kind: pairwise, source: my.jsonl}\n"


def shown(page: str, begin: str) -> list[str]:
    """Return the lines of a code block after the one that begins it, or that is the command."""
    block = page.split(begin, 1)[1].split("```")[0]
    return [line for line in block.splitlines() if line and line != "…"]


@pytest.mark.parametrize(
    ("page", "begin", "spec"),
    [
        ("docs/own-method.md", "$ alignc explain examples/own.yaml\n", "own"),
        ("docs/online.md", "really raise (*ascend*):\n\n```\n", "ppo"),
    ],
)
def test_an_explanation_is_an_excerpt(
    page: str, begin: str, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    printed = show(explain(f"examples/{spec}.yaml")).splitlines()
    lines = shown((ROOT / page).read_text("utf-8"), begin)
    assert len(lines) > 5
    assert [line for line in lines if line not in printed] == []


def test_a_loss_is_an_excerpt() -> None:
    source = lowered(ROOT / "examples/ppo.yaml", files=False).folder().files["loss.py"].splitlines()
    lines = shown((ROOT / "docs/online.md").read_text("utf-8"), "and tokens:\n\n```python\n")
    assert len(lines) > 5
    assert [line for line in lines if line not in source] == []


@pytest.mark.parametrize("page", ["docs/own-method.md", "docs/online.md", "docs/mixing.md"])
def test_a_spec_is_an_excerpt(page: str) -> None:
    name, block = re.findall(r"# (examples/\w+\.yaml)\n(.*?)```", (ROOT / page).read_text("utf-8"), re.S)[0]
    assert set(block.splitlines()) <= set((ROOT / name).read_text("utf-8").splitlines())


def test_a_preset_is_an_excerpt() -> None:
    lines = shown(
        (ROOT / "docs/own-method.md").read_text("utf-8"), "examples/presets/tempered.yaml)):\n\n```yaml\n"
    )
    preset = (ROOT / "examples/presets/tempered.yaml").read_text("utf-8").splitlines()
    assert len(lines) > 10
    assert set(lines) <= set(preset)


def printed(folder: Path, command: str) -> list[str]:
    """Run a command in a folder; return the lines that it prints, the empty ones left out."""
    environment = {k: v for k, v in os.environ.items() if k != "GITHUB_ACTIONS"} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", *command.split()],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    return [line for line in done.stdout.splitlines() if line]


def test_a_finding_looks_as_shown(tmp_path: Path) -> None:
    command = "alignc validate spec.yaml"
    (tmp_path / "spec.yaml").write_text("objective: {preset: dpo, bata: 0.1}\n" + SPEC)
    assert printed(tmp_path, command) == shown(README, f"$ {command}\n")


def test_a_first_spec_is_written_as_shown(tmp_path: Path) -> None:
    command = "alignc init --objective dpo --model Qwen/Qwen2.5-0.5B-Instruct --data my.jsonl"
    (tmp_path / "my.jsonl").write_text(PAIR)
    output = shown(README, f"$ {command}\n")
    assert printed(tmp_path, command) == [line for line in output if not line.startswith("$")]
