"""What a comparison finds, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["VERDICTS", "Change", "Conditional", "Difference", "Verdict", "Witness"]

Verdict = Literal["equal", "equal_up_to_factor", "equal_gradient", "equal_in_expectation", "different"]
VERDICTS: tuple[Verdict, ...] = (
    "equal",
    "equal_up_to_factor",
    "equal_gradient",
    "equal_in_expectation",
    "different",
)
"""From the strongest to the weakest: of the losses; of the losses up to a positive factor and a constant; of every
row's gradient up to a factor; of the gradient expected on the policy's own samples; none of these."""


@dataclass(frozen=True)
class Change:
    """What is not the same in the two specs: `kind` is `term`, `parameter`, `model`, `column`, `metric`, …"""

    kind: str
    name: str
    a: str | None
    b: str | None
    words: str


@dataclass(frozen=True)
class Conditional:
    """A verdict that holds where its conditions do."""

    verdict: Verdict
    conditions: tuple[str, ...]
    factor: float | None = None
    constant: str | None = None
    trace: tuple[str, ...] = ()


@dataclass(frozen=True)
class Witness:
    """A point where the two losses part: no factor makes the gradient of one that of the other.

    Each side's `point` is what `explain --at` takes; `gradient` is by row, in the order of `wrt`.
    """

    words: str
    a: dict[str, Any]
    b: dict[str, Any]


@dataclass(frozen=True)
class Difference:
    """The verdict for all inputs, what holds under conditions, and what changes beside the loss.

    `factor`: A is factor · B + constant; of gradients, A's is factor · B's.
    """

    verdict: Verdict
    factor: float | None
    constant: str | None
    conditions: tuple[str, ...]
    conditional: tuple[Conditional, ...]
    changes: tuple[Change, ...]
    trace: tuple[str, ...]
    witness: Witness | None
