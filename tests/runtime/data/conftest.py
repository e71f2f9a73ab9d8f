from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from alignc.runtime.data.settings import DataSettings
from alignc.runtime.data.tokenizer import train_bpe

CORPUS = ["The sky is blue today. What color is the sky?", "It is green. It is blue. No: it is not."] * 20


@pytest.fixture(scope="session")
def byte_tokenizer() -> Any:
    """A byte b is the id b + 3; pad 0, EOS 1, no BOS, no chat template."""
    from transformers import ByT5Tokenizer

    return ByT5Tokenizer()


@pytest.fixture(scope="session")
def chat_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """BPE with pad 0, BOS 1, EOS `<|im_end|>` 2, `<|im_start|>` 3 and a ChatML template that writes BOS."""
    return train_bpe(CORPUS, 320, tmp_path_factory.mktemp("bpe"))


@pytest.fixture
def jsonl(tmp_path: Path) -> Callable[..., Path]:
    def write(rows: Iterable[Any], name: str = "rows.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
        return path

    return write


@pytest.fixture
def pairs(jsonl: Callable[..., Path]) -> Callable[..., DataSettings]:
    """Write rows and return the settings that read them as pairs."""

    def write(rows: Iterable[Any], **settings: Any) -> DataSettings:
        defaults = {"kind": "pairwise", "responses": ("chosen", "rejected"), "source": str(jsonl(rows))}
        return DataSettings(**{**defaults, **settings})

    return write
