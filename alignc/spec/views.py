"""How rows of data are seen by an objective: which responses a row has, and what is done to get them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alignc.contract.kinds import KINDS, SEVERAL
from alignc.contract.responses import GROUP, PAIR
from alignc.spec.objective import Pointwise, Preference, Term
from alignc.spec.targets import BatchKL

__all__ = ["View", "view"]


@dataclass(frozen=True)
class View:
    """The responses in a row as the loss sees it; `convert` names what turns the data's rows into such rows."""

    responses: tuple[str, ...]
    convert: str | None = None
    mismatched: bool = False

    @property
    def group(self) -> bool:
        """Whether a row is a group of responses of any number."""
        return self.responses == GROUP

    @property
    def pair(self) -> bool:
        """Whether a row is a chosen and a rejected response."""
        return self.responses == PAIR


def view(kind: str, terms: Sequence[Term]) -> View:
    """See rows of a kind through the eyes of an objective.

    Groups become pairs of their best and worst response where a term compares those. KTO's reference point takes
    the completion of another row (`mismatched`).
    """
    pairs = any(_takes_pairs(t) for t in terms)
    mismatched = any(isinstance(t, Pointwise) and isinstance(t.reference_point, BatchKL) for t in terms)
    if kind in SEVERAL and any(isinstance(t, Preference) and t.pairs == "demonstration" for t in terms):
        return View(PAIR, "demonstration", mismatched)
    if kind in SEVERAL and pairs:
        return View(PAIR, "best_worst", mismatched)
    return View(KINDS[kind].responses, None, mismatched)


def _takes_pairs(term: Term) -> bool:
    if isinstance(term, Preference):
        return term.pairs in ("best_worst", "demonstration")
    return getattr(term, "on", "") in PAIR
