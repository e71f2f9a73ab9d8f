"""Claims about the values before the first step."""

from __future__ import annotations

from collections.abc import Iterator

from alignc.claims.model import Claim, StepZero, Subject

__all__ = ["step_zero"]


def step_zero(subject: Subject) -> Iterator[Claim]:
    """List the metrics that have one value for all data before the first step."""
    for metric, value in subject.needs.step0.items():
        yield StepZero(metric, value)
