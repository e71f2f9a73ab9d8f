"""The anchors of terms, also for a reference that moves."""

from __future__ import annotations

from typing import Any

from alignc.contract.kinds import ONLINE
from alignc.contract.models import INITIAL, MODELS, other_name
from alignc.spec.job import Job
from alignc.spec.objective import KLTerm, Pointwise, PolicyGradient, Preference
from alignc.spec.rows import Data, Sources
from alignc.spec.scores import is_ratio

__all__ = ["MOVING", "anchored", "other_models"]

MOVING = tuple(row.name for row in MODELS.values() if row.moving)
"""References that follow the policy after each rollout or each step."""


def anchored(job: Job) -> Job:
    """Replace the anchor `initial` by a moving reference in the terms on sampled responses."""
    reference = job.model.reference
    if reference is None or reference.kind not in MOVING:
        return job
    kind, data = reference.kind, job.data
    terms = [
        _moved(term, kind) if _kind_of_rows(term, data) in ONLINE else term for term in job.objective.terms
    ]
    return job.model_copy(update={"objective": job.objective.model_copy(update={"terms": terms})})


def _kind_of_rows(term: Any, data: Data) -> str:
    """Find the kind of the rows that a term takes; "" where it names no source of several."""
    if not isinstance(data, Sources):
        return data.kind
    rows = data.sources.get(term.data)
    return "" if rows is None else rows.kind


def _moved(term: Any, kind: str) -> Any:
    if isinstance(term, PolicyGradient) and term.kl is not None and term.kl.anchor == INITIAL:
        return term.model_copy(update={"kl": term.kl.model_copy(update={"anchor": kind})})
    if isinstance(term, KLTerm) and term.anchor in (None, INITIAL):
        return term.model_copy(update={"anchor": kind})
    if isinstance(term, Preference | Pointwise) and _held(term.score):
        return term.model_copy(update={"score": term.score.model_copy(update={"anchor": kind})})
    return term


def other_models(job: Job) -> dict[str, str]:
    """Map the folder or hub id of each term's own anchor to its name: `other`, `other2`, …"""
    anchors = [_written(term) for term in job.objective.terms]
    paths = dict.fromkeys(anchor for anchor in anchors if isinstance(anchor, str) and "/" in anchor)
    return {path: other_name(number) for number, path in enumerate(paths, 1)}


def _written(term: Any) -> Any:
    if isinstance(term, KLTerm):
        return term.anchor
    return term.score.anchor if isinstance(term, Preference | Pointwise) else None


def _held(score: Any) -> bool:
    """Return whether a score is a ratio to the initial reference."""
    return score.anchor == INITIAL or (score.anchor is None and is_ratio(score.of))
