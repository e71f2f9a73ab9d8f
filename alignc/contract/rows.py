"""The `data` section of a job: given rows, prompts that the policy answers, or several sources of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .kinds import ONLINE
from .plain import build, left_out, optional

__all__ = [
    "Data",
    "GivenData",
    "HeldOut",
    "Opponent",
    "Rows",
    "SampledData",
    "Sources",
    "data_from",
]


@dataclass(frozen=True)
class HeldOut:
    """Where held-out rows come from: a source of their own, or a fraction (0 to 1) of the training source."""

    source: str | None = left_out()
    split: str | None = left_out()
    fraction: float | None = left_out()


@dataclass(frozen=True)
class Opponent:
    """What an oracle compares a response with: the policy, or a mixture with the reference's ``weight`` (0 to 1)."""

    kind: str
    weight: float | None = left_out()


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Where rows are, and what becomes of bad ones."""

    source: str
    split: str
    name: str | None = left_out()
    revision: str | None = left_out()
    data_files: str | list[str] | None = field(default=None, metadata={"left_out": True})
    streaming: bool = False
    chat_template: str | None
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    chat_template_date: str | None = None
    max_rows: int | None
    eval: HeldOut | None
    on_bad_row: str
    max_refused: int
    max_cut: float


@dataclass(frozen=True, kw_only=True)
class GivenData(Rows):
    """Rows with responses; ``columns`` gives a column's name for each part of a row, None where the layout decides."""

    kind: str
    columns: Mapping[str, str | None]

    @property
    def online(self) -> bool:
        """Whether the policy samples the responses."""
        return False


@dataclass(frozen=True, kw_only=True)
class SampledData(Rows):
    """Prompts whose responses the policy samples; ``max_new_tokens`` in tokens, ``iterations`` of self-play alone."""

    columns: Mapping[str, str | None]
    completions_per_prompt: int = 1
    max_new_tokens: int = 64
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int | None = None
    min_p: float = 0.0
    stop: Sequence[str] = ()
    sampler: str = "transformers"
    reward: Any = None
    oracle: Any = None
    opponent: Opponent | None = None
    missing_eos_reward: float | None = None
    kind: str
    iterations: int | None = left_out()

    @property
    def online(self) -> bool:
        """Whether the policy samples the responses."""
        return True

    @property
    def mixture(self) -> float | None:
        """The reference's weight in the opponent; None where the opponent is no mixture."""
        return self.opponent.weight if self.opponent and self.opponent.kind == "mixture" else None


@dataclass(frozen=True)
class Sources:
    """Several sources of rows by name; a step takes a batch of each."""

    kind: str
    sources: Mapping[str, GivenData | SampledData] = field(default_factory=dict)

    @property
    def online(self) -> bool:
        """Whether the policy samples the responses: each source says it of itself."""
        return False

    @property
    def chat_template(self) -> str | None:
        """The template of the first source, which the whole job's tokenizer has."""
        return next(iter(self.sources.values())).chat_template


Data = GivenData | SampledData | Sources


def data_from(data: Mapping[str, Any]) -> Data:
    """Build the `data` section of a job. Failure E806 for unknown or missing keys."""
    if "sources" not in data:
        return rows_from(data)
    sources = {name: rows_from(source) for name, source in data["sources"].items()}
    return build(Sources, {**data, "sources": sources}, "data")


def rows_from(data: Mapping[str, Any]) -> GivenData | SampledData:
    """Build one source of rows."""
    held_out = optional(HeldOut, data.get("eval"), "data.eval")
    known = {**data, **({"eval": held_out} if "eval" in data else {})}
    if data.get("kind") not in ONLINE:
        return build(GivenData, known, "data")
    opponent = optional(Opponent, data.get("opponent"), "data.opponent")
    return build(SampledData, {**known, "opponent": opponent}, "data")
