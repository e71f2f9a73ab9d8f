"""What a comparison finds, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

__all__ = [
    "TOLERANCE",
    "VERDICTS",
    "Change",
    "Conditional",
    "Difference",
    "Relation",
    "Strictness",
    "Verdict",
    "Witness",
]

Verdict = Literal[
    "equal", "equal_up_to_factor", "equal_gradient", "equal_in_expectation", "undecided", "different"
]
VERDICTS: tuple[Verdict, ...] = (
    "equal",
    "equal_up_to_factor",
    "equal_gradient",
    "equal_in_expectation",
    "undecided",
    "different",
)
"""From the strongest to the weakest: of the losses; of the losses up to a positive factor and a constant; of every
row's gradient up to a factor; of the gradient expected on the policy's own samples; neither a proof nor a point
where they part was found; a point where they part."""


TOLERANCE = (
    "parameters are compared exactly, as the decimals that were written; gradients at a point are compared with "
    "60 digits, and two factors are one if they differ by less than 1e-25 of their size"
)

Relation = Literal["equivalent", "stricter", "implied", "neither", "undecided"]


@dataclass(frozen=True)
class Strictness:
    """How the statements of two preference losses relate: `stricter` if A's entails B's, `implied` if B's entails A's.

    `a` and `b` are the statements as Boolean formulas, None where a loss has none. `points` are truth values that
    refute an entailment.
    """

    relation: Relation
    words: str
    a: str | None
    b: str | None
    points: tuple[str, ...] = ()


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
    formula: str | None = None
    """The factor for a group of k responses, where it depends on k."""


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

    `factor`: A is factor · B + constant; of gradients, A's is factor · B's. `formula` is the factor for a group of k
    responses, where it depends on k. `tolerance` says how closely numbers are compared. `strictness` compares the
    statements of two preference losses; it is None for other losses.
    """

    verdict: Verdict
    factor: float | None
    constant: str | None
    conditions: tuple[str, ...]
    conditional: tuple[Conditional, ...]
    changes: tuple[Change, ...]
    trace: tuple[str, ...]
    witness: Witness | None
    formula: str | None = None
    tolerance: str = TOLERANCE
    strictness: Strictness | None = None
