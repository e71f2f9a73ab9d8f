"""What is judged, what is said of it, and how it is called in a message."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ...contract.failure import Failure
from ..data.columns import Fields
from ..data.rows import Row

__all__ = ["Question", "Sample", "Scores", "Source", "about", "about_pairs", "field_of", "row_of"]

SHOWN = 60  # characters of a response that a message shows


@dataclass(frozen=True)
class Sample:
    """A response: number ``number`` of those to the prompt of the row at ``origin``, whose fields are ``fields``.

    ``ended`` tells that it came to its end-of-text token, and was not cut off before.
    """

    prompt: str
    completion: str
    origin: str = ""
    number: int = 0
    fields: Mapping[str, Any] = field(default_factory=dict)
    ended: bool = True

    @property
    def label(self) -> str:
        """Name it: "prompts.jsonl:18, sample 2"."""
        return f"{self.origin or 'a row'}, sample {self.number}"


@dataclass(frozen=True)
class Scores:
    """The reward of each sample, and by name the parts that it is the weighted sum of (without their weights)."""

    values: list[float]
    parts: dict[str, list[float]]


class Source(Protocol):
    """Gives each sample a finite number, in their order, or raises Failure."""

    def __call__(self, samples: Sequence[Sample]) -> list[float]:
        """Score samples."""

    def close(self) -> None:
        """Free what the source holds."""


@dataclass(frozen=True)
class Question:
    """What somebody else's code is asked: lists of texts by name, columns by name, all of one length.

    ``labels`` name the entries in messages, ``shown`` quotes them.
    """

    texts: Mapping[str, list[str]]
    columns: Mapping[str, list[Any]]
    labels: Sequence[str]
    shown: Sequence[str]

    def __len__(self) -> int:
        return len(self.labels)

    def one(self, index: int) -> Question:
        """Ask the same of one entry alone."""
        at = slice(index, index + 1)
        texts = {name: values[at] for name, values in self.texts.items()}
        columns = {name: values[at] for name, values in self.columns.items()}
        return Question(texts, columns, self.labels[at], self.shown[at])

    @property
    def range(self) -> str:
        """Name the entries as a whole."""
        count = len(self.labels)
        return self.labels[0] if count == 1 else f"{count} of them, {self.labels[0]} to {self.labels[-1]}"


def about(samples: Sequence[Sample]) -> Question:
    """Ask what samples are worth."""
    texts = {"prompts": [s.prompt for s in samples], "completions": [s.completion for s in samples]}
    shown = [f"the response is {quoted(s.completion)}" for s in samples]
    return Question(texts, columns_of(samples, texts), [s.label for s in samples], shown)


def about_pairs(pairs: Sequence[tuple[Sample, Sample]]) -> Question:
    """Ask which of two samples of one prompt is better."""
    texts = {
        "prompts": [a.prompt for a, _ in pairs],
        "first": [a.completion for a, _ in pairs],
        "second": [b.completion for _, b in pairs],
    }
    labels = [f"{a.origin or 'a row'}, samples {a.number} and {b.number}" for a, b in pairs]
    shown = [f"the responses are {quoted(a.completion)} and {quoted(b.completion)}" for a, b in pairs]
    return Question(texts, columns_of([a for a, _ in pairs], texts), labels, shown)


def columns_of(samples: Sequence[Sample], texts: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Collect the rows' fields by name; where a row lacks one that another has, it is None."""
    names = dict.fromkeys(name for s in samples for name in s.fields if name not in texts)
    return {name: [s.fields.get(name) for s in samples] for name in names}


def quoted(text: str) -> str:
    """Quote a text, shortened."""
    return repr(text if len(text) <= SHOWN else text[: SHOWN - 1] + "…")


def row_of(sample: Sample) -> Row:
    """Give the row that a sample answers, as the readers of data know it."""
    match = re.fullmatch(r"(.*)([:#])(\d+)", sample.origin, re.DOTALL)
    if match is None:
        return Row(sample.fields, sample.origin or "a row", 1)
    return Row(sample.fields, match[1], int(match[3]), numbered=match[2] == "#")


def field_of(sample: Sample, path: str, use: str, kinds: tuple[type, ...]) -> Any:
    """Look a field of the sample's row up; raises E701 where it is missing, E702 where it is of another type."""
    row = row_of(sample)
    try:
        value = Fields(row).value(path)
    except Failure as failure:
        there = ", ".join(f"`{name}`" for name in sample.fields) or "none"
        message = f"`{path}`, {use}, is not there or null ({sample.label}); the columns are {there}"
        raise row.failure(
            failure.code, message, f"add the column, or name another in the source: {use}"
        ) from failure
    if not isinstance(value, kinds):
        message = f"`{path}`, {use}, is of the wrong type: {type(value).__name__} ({sample.label})"
        raise row.failure("E702", message)
    return value
