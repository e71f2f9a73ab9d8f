"""Compare models on held-out rows: which response they prefer, by how much, and how good their answers are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from ...contract.failure import Failure
from ...contract.job import Model, Reference
from ...contract.responses import PAIR
from ..data.dataset import load_examples
from ..data.settings import DataSettings
from ..data.tokenizer import load_tokenizer
from ..reward.verifiers import VERIFIERS
from ..samplers.generate import generate
from ..train.run_job import quiet
from .measure import load_model, sums

__all__ = ["Figures", "Questions", "compare"]


@dataclass(frozen=True)
class Questions:
    """The rows of a comparison: pairs to judge, and prompts to answer, checked by a verifier."""

    pairs: str | None = None
    prompts: str | None = None
    verifier: str = "exact_number"
    prompt_column: str = "prompt"
    answer_column: str = "answer"
    max_new_tokens: int = 64
    limit: int | None = None
    batch_size: int = 32


@dataclass(frozen=True)
class Figures:
    """The results of one model. Margins are means in nat, `reward_margin` that of log-ratios to the first model.

    `reward_accuracy` is the share of pairs that these log-ratios rank rightly: unknown of the first model itself.
    `length` is the mean length of its own answers in tokens, without EOS; one that found no end has all it may have.
    """

    name: str
    accuracy: float | None = None
    margin: float | None = None
    reward_margin: float | None = None
    reward_accuracy: float | None = None
    chosen: float | None = None
    rejected: float | None = None
    quality: float | None = None
    length: float | None = None


def compare(folders: Sequence[Path], questions: Questions) -> list[Figures]:
    """Ask every model the same; the first is the one that others are held against. Raises Failure."""
    quiet()
    results: list[Figures] = []
    first: np.ndarray | None = None
    for folder in folders:
        section = Model(policy=str(folder), reference=Reference("none"))
        tokenizer, model = load_tokenizer(section), load_model(str(folder))
        figures: dict[str, Any] = {}
        if questions.prompts:
            figures |= _quality(model, tokenizer, questions)
        if questions.pairs:
            logps = _logps(model, tokenizer, questions)
            first = logps if first is None else first
            figures |= _preferences(logps, first)
        results.append(Figures(_name(folder), **figures))
    return results


def _name(folder: Path) -> str:
    return folder.parent.name if folder.name == "model" else folder.name


def _logps(model: nn.Module, tokenizer: Any, questions: Questions) -> np.ndarray:
    """Score every pair [rows, 2]: the responses' log-probabilities, summed over tokens in float64."""
    settings = DataSettings("pairwise", str(questions.pairs), responses=PAIR, max_cut=1.0)
    examples = load_examples(settings, tokenizer, limit=questions.limit).examples
    return sums(model, examples, tokenizer.pad_token_id or 0)


def _preferences(logps: np.ndarray, first: np.ndarray) -> dict[str, float | None]:
    gap, before = logps[:, 0] - logps[:, 1], first[:, 0] - first[:, 1]
    return {
        "accuracy": float((gap > 0).mean()),
        "margin": float(gap.mean()),
        "reward_margin": float((gap - before).mean()),
        "reward_accuracy": None if logps is first else float((gap > before).mean()),
        "chosen": float(logps[:, 0].mean()),
        "rejected": float(logps[:, 1].mean()),
    }


def _quality(model: nn.Module, tokenizer: Any, questions: Questions) -> dict[str, float]:
    rows = _rows(str(questions.prompts), questions)
    prompts = [str(row[questions.prompt_column]) for row in rows]
    answers = generate(
        model, tokenizer, prompts, max_new_tokens=questions.max_new_tokens, batch_size=questions.batch_size
    )
    written = [tokenizer.decode(ids, skip_special_tokens=True) for ids in answers]
    check = VERIFIERS[questions.verifier]
    right = [check(text, str(row[questions.answer_column])) for text, row in zip(written, rows, strict=True)]
    return {"quality": float(np.mean(right)), "length": float(np.mean([len(ids) for ids in answers]))}


def _rows(file: str, questions: Questions) -> list[dict[str, Any]]:
    try:
        lines = Path(file).read_text("utf-8").splitlines()
        rows = [json.loads(line) for line in lines if line.strip()][: questions.limit]
    except (OSError, ValueError) as problem:
        raise Failure("E703", f"cannot read prompts: {problem}", file=file) from problem
    for number, row in enumerate(rows, 1):
        for column in (questions.prompt_column, questions.answer_column):
            if column not in row:
                raise Failure("E701", f"a row has no column `{column}`", file=file, line=number)
    return rows
