from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from alignc.cli import main

PAIRS = (
    '{"prompt": "1+1=", "chosen": "2", "rejected": "3"}\n{"prompt": "1+2=", "chosen": "3", "rejected": "4"}\n'
)
SPEC = """\
version: 1
objective: {preset: dpo, beta: 0.1}
model: {policy: {init: llama, tokenizer: bytes, hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2}}
data: {kind: pairwise, source: pairs.jsonl}
"""


class Done(NamedTuple):
    code: int
    out: str
    err: str


Alignc = Callable[..., Done]


@pytest.fixture
def alignc(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Alignc:
    """Run the command line in this process."""
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["alignc", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return Done(int(end.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with a sound spec and its data."""
    monkeypatch.chdir(tmp_path)
    Path("pairs.jsonl").write_text(PAIRS)
    Path("spec.yaml").write_text(SPEC)
    return tmp_path
