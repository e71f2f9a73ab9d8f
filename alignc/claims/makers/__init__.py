"""Makers of claims: one function for each kind of statement, in the order of an explanation."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from alignc.claims.makers.ascent import ascents, rests
from alignc.claims.makers.descent import descents
from alignc.claims.makers.gradient import gradients
from alignc.claims.makers.job import models, rollouts, scaling
from alignc.claims.makers.links import links
from alignc.claims.makers.start import step_zero
from alignc.claims.makers.texts import deviations, health, uses
from alignc.claims.makers.titles import titles
from alignc.claims.model import Claim, Subject

__all__ = ["MAKERS", "claims_of"]

MAKERS: tuple[Callable[[Subject], Iterator[Claim]], ...] = (
    titles,
    rollouts,
    ascents,
    gradients,
    descents,
    rests,
    links,
    models,
    scaling,
    step_zero,
    health,
    deviations,
    uses,
)


def claims_of(subject: Subject) -> tuple[Claim, ...]:
    """List the claims about a compiled objective, in the order of an explanation."""
    return tuple(claim for make in MAKERS for claim in make(subject))
