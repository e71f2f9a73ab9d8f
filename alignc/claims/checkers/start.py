"""Check the values before the first step, on batches in which the policy is the reference."""

from __future__ import annotations

import random

from alignc.claims.checkers.batches import within
from alignc.claims.model import Outcome, StepZero, Subject, Verdict
from alignc.claims.numbers import draw
from alignc.graph.evaluate import evaluate

__all__ = ["check_step_zero"]


def check_step_zero(claim: StepZero, subject: Subject) -> Verdict:
    """Evaluate the metric on random batches in which the policy is the reference."""
    own = claim.metric.rpartition("/")[2] if claim.metric.startswith("source_") else claim.metric
    metric = next((m for m in subject.loss.metrics if m.name == own), None)
    if metric is None:
        return Verdict(Outcome.REFUTED, "there is no such metric")
    rng, worst = random.Random(21), 0.0
    for rows in (1, 3):
        found = float(evaluate(metric.value, draw(rng, (metric.value,), rows=rows, start=True)))
        worst = max(worst, abs(found - claim.value) / (1 + abs(claim.value)))
    return within(worst, 1e-10, "random batches in which the policy is the reference")
