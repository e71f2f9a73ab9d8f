"""The atoms of a loss: the numbers of a row, under the names of the formulas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from alignc.contract.models import MODELS
from alignc.contract.outputs import OUTPUTS, Per
from alignc.contract.responses import RESPONSES
from alignc.graph.nodes import Column, GroupSize, Length, Logp, Node, Output, Position

__all__ = ["PRIME", "SUFFIX", "Bond", "Bonds", "atom_name", "exact", "model_letter"]

SUFFIX = {name: row.suffix for name, row in RESPONSES.items()}
COLUMNS = {"reward": "R", "win_rate": "P"}
PRIME = "′"
"""Marks a column of B that the rollout computes in another way than that of A."""


@dataclass(frozen=True)
class Bond:
    """What a condition makes of an atom: `scale · other + offset`, or a constant; `times` is any number."""

    to: str | None = None
    scale: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)
    times: str | None = None

    @property
    def as_it_is(self) -> bool:
        """Whether the atom is another one, so that their tokens are the same too."""
        return self.to is not None and self.scale == 1 and self.offset == 0 and self.times is None


Bonds = Mapping[str, Bond]


def model_letter(model: str) -> str:
    """Name the log-probabilities of a model."""
    return MODELS[model].letter if model in MODELS else model


def atom_name(node: Node) -> str:
    """Name an input of the graph; a model's token log-probabilities have the name of their sum."""
    match node:
        case Logp(model=model, response=response):
            return f"{model_letter(model)}_{SUFFIX[response]}"
        case Length(response=response):
            return f"n_{SUFFIX[response]}"
        case Column(name=name, response=response):
            short = COLUMNS.get(name, name)
            return f"{short}_{SUFFIX[response]}" if response else short
        case Position(response=response):
            return f"t_{SUFFIX[response]}"
        case GroupSize():
            return "k"
        case Output(quantity=quantity, response=response):
            row = OUTPUTS[quantity]
            return row.atom if row.per == Per.PROMPT else f"{row.atom}_{SUFFIX[response]}"
    raise TypeError(f"{type(node).__name__} is no input of a graph")


def exact(value: float) -> Fraction:
    """Read a float as the number that was meant: 0.1 is 1/10, and 0.333… is 1/3."""
    short = Fraction(value).limit_denominator(100_000)
    return short if float(short) == value else Fraction(repr(value))
