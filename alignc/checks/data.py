"""Checks that the data supplies the rewards, win rates and rows that the loss needs."""

from __future__ import annotations

from collections.abc import Iterator

from alignc.checks.rule import Checked, term_path
from alignc.contract.kinds import SELF_PLAY
from alignc.diagnostics import Diagnostic
from alignc.spec.axes import RewardGapMargin
from alignc.spec.objective import Pointwise, PolicyGradient, Preference, Term
from alignc.spec.rewards import BradleyTerry, ColumnReward
from alignc.spec.rows import Sampled
from alignc.spec.targets import BatchKL, RewardTarget, WinRateTarget

__all__ = ["batch_of_one", "rewards", "win_rates"]


def rewards(checked: Checked) -> Iterator[Diagnostic]:
    """E103: a term needs a reward, and neither the rows nor a reward source supply it."""
    data = checked.spec.job.data
    wanted = [t for t in checked.spec.job.objective.terms if _reads(t, "reward")]
    for term in wanted[:1]:
        if data.kind == "demonstrations":
            message = f"`{term.name}` needs a reward, but rows of kind `{data.kind}` have no reward"
            yield checked.finding("E103", message, ("data", "kind"))
        if isinstance(data, Sampled) and data.reward is None:
            message = f"`{term.name}` needs a reward, but `data.reward` is missing"
            yield checked.finding("E103", message, ("data",), help=GIVE_REWARD)
    if (
        isinstance(data, Sampled)
        and not wanted
        and _ranks(checked)
        and data.reward is None
        and data.oracle is None
    ):
        message = (
            "the objective needs the best and the worst response, but `data` has no `reward` and no `oracle`"
        )
        yield checked.finding("E103", message, ("data",), help=GIVE_REWARD)


GIVE_REWARD = "add a reward to `data`: for example `reward: {kind: verifier, name: exact_number}`"


def _reads(term: Term, what: str) -> bool:
    """Return whether a term reads a reward or an estimated win rate (`what`)."""
    if isinstance(term, PolicyGradient):
        return term.reward == what
    if isinstance(term, Preference):
        return what == "reward" and isinstance(term.margin, RewardGapMargin)
    target = term.target if isinstance(term, Pointwise) else None
    if what == "reward":
        return isinstance(target, RewardTarget)
    return isinstance(target, WinRateTarget) and target.outcome == "column"


def _ranks(checked: Checked) -> bool:
    return checked.loss.view.convert == "best_worst"


def win_rates(checked: Checked) -> Iterator[Diagnostic]:
    """E104: a term needs an estimated win rate, and nothing supplies it."""
    data = checked.spec.job.data
    reading = [(i, t) for i, t in enumerate(checked.spec.job.objective.terms) if _reads(t, "win_rate")]
    if reading:
        yield from _untold(checked, reading[0][1].name)
    for index, term in reading:
        target = term.target if isinstance(term, Pointwise) else None
        estimated = isinstance(target, WinRateTarget) and isinstance(target.baseline, str)
        if estimated and data.kind != SELF_PLAY:
            message = (
                f"`{term.name}` estimates the log-partition from sampled responses, but the rows give theirs"
            )
            yield checked.finding("E104", message, (*term_path(index), "target", "baseline"))


def _untold(checked: Checked, name: str) -> Iterator[Diagnostic]:
    """Report once for all terms why no win rate can be estimated."""
    data = checked.spec.job.data
    if data.kind in ("pairwise", "demonstrations"):
        message = f"`{name}` needs a win rate, but rows of kind `{data.kind}` have no win rate"
        yield checked.finding("E104", message, ("data", "kind"))
    if not isinstance(data, Sampled):
        return
    if data.oracle is None:
        message = f"`{name}` needs a win rate, but `data.oracle` is missing"
        hint = "add an `oracle:`, which compares two responses"
        yield checked.finding("E104", message, ("data",), help=hint)
    elif _blind(data.oracle):
        message = "a column gives the same value to every response to a prompt: each response wins with probability ½"
        hint = "choose an oracle that reads the response, such as a verifier or a model"
        yield checked.finding("E104", message, ("data", "oracle"), help=hint)
    elif data.opponent.kind == "policy" and data.completions_per_prompt < 2:
        message = (
            f"`{name}` needs win rates, but there is only one response per prompt: its win rate is always ½"
        )
        yield checked.finding("E104", message, ("data", "completions_per_prompt"))


def _blind(oracle: object) -> bool:
    """Return whether an oracle reads only the row of the prompt, and not the response."""
    if isinstance(oracle, BradleyTerry):
        sources = oracle.reward if isinstance(oracle.reward, list) else [oracle.reward]
        return all(isinstance(s, ColumnReward) for s in sources)
    return isinstance(oracle, ColumnReward)


def batch_of_one(checked: Checked) -> Iterator[Diagnostic]:
    """E107: the global batch must hold the completion of another row."""
    train, processes = checked.spec.job.train, checked.spec.job.launch.num_processes
    rows = train.per_device_train_batch_size * train.gradient_accumulation_steps * processes
    for index, term in enumerate(checked.spec.job.objective.terms):
        if isinstance(term, Pointwise) and isinstance(term.reference_point, BatchKL) and rows < 2:
            message = f"`{term.name}` estimates its reference point from other rows of the batch, but there are none"
            written = ("train", "per_device_train_batch_size")
            there = written in checked.spec.document.origins
            yield checked.finding(
                "E107", message, written if there else (*term_path(index), "reference_point")
            )
