"""The models whose log-probabilities a loss reads: a row each, with everything that either side says of it.

A term may also have an anchor of its own, a folder or hub id. Such a model is called `other`, `other2`, …, and has no
row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "EMA",
    "INITIAL",
    "MODELS",
    "POLICY",
    "PREVIOUS_ITERATE",
    "ROLLOUT",
    "SAMPLED",
    "ModelName",
    "ModelRow",
    "anchors",
    "is_other",
    "other_name",
]


class ModelName(StrEnum):
    """The models that a job has anyway: what is trained, and its anchors."""

    POLICY = "policy"
    INITIAL = "initial"
    ROLLOUT = "rollout"
    PREVIOUS_ITERATE = "previous_iterate"
    EMA = "ema"


POLICY, INITIAL, ROLLOUT, PREVIOUS_ITERATE, EMA = ModelName


@dataclass(frozen=True)
class ModelRow:
    """A model: how it reads, and what it is to the policy.

    `words` describe the model. `letter` names its log-probabilities where two losses are compared, and `at` is their
    key in an example of `--at`. `moving`: a reference that follows the policy, from rollout to rollout or from step to
    step. `sampled`: the policy as it sampled, of which log-probabilities are stored and no weights.
    """

    name: ModelName
    words: str
    text: str
    latex: str
    letter: str
    at: str
    moving: bool = False
    sampled: bool = False


_ROWS = (
    ModelRow(POLICY, "the policy", "π", r"\pi_\theta", "l", "logp"),
    ModelRow(INITIAL, "the policy at the start", "π_ref", r"\pi_{\mathrm{ref}}", "r", "ref_logp"),
    ModelRow(
        ROLLOUT, "the rollout policy", "π_rollout", r"\pi_{\mathrm{rollout}}", "o", "old_logp", sampled=True
    ),
    ModelRow(
        PREVIOUS_ITERATE,
        "the policy at the start of a rollout",
        "π_previous_iterate",
        r"\pi_{\mathrm{previous_iterate}}",
        "q",
        "ref_logp",
        moving=True,
        sampled=True,
    ),
    ModelRow(
        EMA,
        "the moving average of the policy's weights",
        "π_ema",
        r"\pi_{\mathrm{ema}}",
        "ema",
        "ref_logp",
        moving=True,
    ),
)

MODELS: Mapping[str, ModelRow] = {row.name: row for row in _ROWS}
SAMPLED = frozenset(row.name for row in _ROWS if row.sampled)
"""The anchors that are the rollout policy; a rollout stores their log-probabilities."""
OTHER = "other"


def anchors() -> tuple[ModelName, ...]:
    """List the models other than the policy."""
    return tuple(name for name in ModelName if name != POLICY)


def other_name(number: int) -> str:
    """Name the n-th model that is a term's own anchor: `other`, `other2`, …"""
    return f"{OTHER}{number}" if number > 1 else OTHER


def is_other(model: str) -> bool:
    """Tell the name of a term's own anchor from those of the models that a job has anyway."""
    return model.startswith(OTHER)
