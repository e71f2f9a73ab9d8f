"""Makers of claims: one function for each kind of statement, in the order of an explanation."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from alignc.claims.makers.gradient import gradients
from alignc.claims.makers.start import step_zero
from alignc.claims.model import Claim, Subject

__all__ = ["MAKERS", "claims_of"]

MAKERS: tuple[Callable[[Subject], Iterator[Claim]], ...] = (gradients, step_zero)


def claims_of(subject: Subject) -> tuple[Claim, ...]:
    """List the claims about a compiled objective, in the order of an explanation."""
    return tuple(claim for make in MAKERS for claim in make(subject))
