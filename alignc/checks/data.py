"""Does the data give what the targets of the loss are made of?"""

from __future__ import annotations

from collections.abc import Iterator

from alignc.checks.rule import Checked, term_path
from alignc.diagnostics import Diagnostic
from alignc.spec.objective import Pointwise
from alignc.spec.targets import RewardTarget, WinRateTarget

__all__ = ["batch_of_one", "rewards", "win_rates"]


def rewards(checked: Checked) -> Iterator[Diagnostic]:
    """E103: a reward is the target, and the rows have none."""
    kind = checked.spec.job.data.kind
    for term in checked.spec.job.objective.terms:
        if isinstance(term, Pointwise) and isinstance(term.target, RewardTarget) and kind == "demonstrations":
            message = f"`{term.name}` takes a reward, but rows of kind `{kind}` have none"
            yield checked.finding("E103", message, ("data", "kind"))


def win_rates(checked: Checked) -> Iterator[Diagnostic]:
    """E104: an estimated win rate is the target, and the rows have none."""
    kind = checked.spec.job.data.kind
    for term in checked.spec.job.objective.terms:
        target = term.target if isinstance(term, Pointwise) else None
        estimated = isinstance(target, WinRateTarget) and target.outcome == "column"
        if estimated and kind in ("pairwise", "demonstrations"):
            message = f"`{term.name}` takes a win rate, but rows of kind `{kind}` have none"
            yield checked.finding("E104", message, ("data", "kind"))


def batch_of_one(checked: Checked) -> Iterator[Diagnostic]:
    """E107: the global batch must hold another row's completion."""
    train, processes = checked.spec.job.train, checked.spec.job.launch.num_processes
    rows = train.per_device_train_batch_size * train.gradient_accumulation_steps * processes
    for index, term in enumerate(checked.spec.job.objective.terms):
        if isinstance(term, Pointwise) and term.reference_point.kind == "batch_kl" and rows < 2:
            message = (
                f"`{term.name}` estimates its reference point from other rows of the batch, which has one"
            )
            written = ("train", "per_device_train_batch_size")
            there = written in checked.spec.document.origins
            yield checked.finding(
                "E107", message, written if there else (*term_path(index), "reference_point")
            )
