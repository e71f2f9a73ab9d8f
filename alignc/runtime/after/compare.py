"""Compare models on held-out rows: which response they prefer, by how much, and how good their answers are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from ...contract.files import job_file
from ...contract.job import Model, Reference, read_job
from ...contract.responses import PAIR
from ..base.endings import end_ids, without_end
from ..data.dataset import load_examples
from ..data.prompts import load_prompts
from ..data.settings import DataSettings, settings_from_job
from ..data.tokenizer import load_tokenizer
from ..reward.texts import Verifier
from ..rollout.answers import with_text
from ..samplers.decode import keeps_cache
from ..samplers.sample import sample
from ..samplers.sampling import Sampling
from ..samplers.stops import stops_of
from ..train.run_job import quiet
from .measure import load_model, sums

__all__ = ["Figures", "Questions", "compare"]


@dataclass(frozen=True)
class Questions:
    """The rows of a comparison: pairs to judge, and prompts to answer, checked by a verifier."""

    pairs: str | None = None
    prompts: str | None = None
    verifier: str = "exact_number"
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
            figures |= _quality(model, tokenizer, questions, _made(folder))
        if questions.pairs:
            logps = _logps(model, tokenizer, questions, _made(folder))
            first = logps if first is None else first
            figures |= _preferences(logps, first)
        results.append(Figures(_name(folder), **figures))
    return results


def _name(folder: Path) -> str:
    return folder.parent.name if folder.name == "model" else folder.name


WRITING = ("chat_template", "chat_template_kwargs", "chat_template_date", "date_record")


@dataclass(frozen=True)
class Made:
    """How the run of a model wrote conversations, and the strings that ended its responses; nothing without a run."""

    writing: Mapping[str, Any] = field(default_factory=dict)
    stop: Sequence[str] = ()


def _made(folder: Path) -> Made:
    """Read the job of the run that a model or a checkpoint is of; its first source decides."""
    output = next((each for each in (folder.parent, folder.parent.parent) if job_file(each).is_file()), None)
    if output is None:
        return Made()
    job = read_job(job_file(output))
    part = job.parts[0] if job.parts else job
    settings = settings_from_job(part)
    stop = part.prompts.stop if part.spec.data.online else ()
    return Made({name: getattr(settings, name) for name in WRITING}, stop)


def _logps(model: nn.Module, tokenizer: Any, questions: Questions, made: Made) -> np.ndarray:
    """Score every pair [rows, 2]: the responses' log-probabilities, summed over tokens in float64."""
    settings = DataSettings("pairwise", str(questions.pairs), responses=PAIR, max_cut=1.0, **made.writing)
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


def _quality(model: nn.Module, tokenizer: Any, questions: Questions, made: Made) -> dict[str, float]:
    """Answer the prompts greedily, as rollouts of temperature 0 do, and check the answers."""
    settings = DataSettings("prompts", str(questions.prompts), responses=(), max_length=None, **made.writing)
    room = questions.max_new_tokens
    prompts = load_prompts(settings, tokenizer, limit=questions.limit, room=room).prompts
    pad, stops = tokenizer.pad_token_id or 0, stops_of(made.stop, tokenizer)
    sampling = Sampling(1, room, 0.0, 1.0, end_ids(tokenizer), pad, stops=stops)
    drawn = sample(
        model,
        [prompt.ids for prompt in prompts],
        [prompt.row for prompt in prompts],
        sampling,
        seed=0,
        batch_size=questions.batch_size,
        each=_go_on,
        cached=keeps_cache(model),
    )
    answers = [with_text(*each, sampling, tokenizer) for each in zip(prompts, drawn, strict=True)]
    check = Verifier({"name": questions.verifier, "answer": "answer"})
    right = check([sample for each in answers for sample in each.samples])
    lengths = [len(without_end(ids, sampling.eos_ids)) for each in answers for ids in each.completions]
    return {"quality": float(np.mean(right)), "length": float(np.mean(lengths))}


def _go_on() -> None:
    """Do nothing between two tokens: nobody waits for a sign of life."""
