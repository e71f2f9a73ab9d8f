"""Does the data give what the targets of the loss are made of?"""

from __future__ import annotations

from collections.abc import Iterator

from alignc.checks.rule import Checked, term_path
from alignc.diagnostics import Diagnostic
from alignc.spec.objective import Pointwise, PolicyGradient, Preference, Term
from alignc.spec.rewards import BradleyTerry, ColumnReward
from alignc.spec.rows import Sampled
from alignc.spec.targets import RewardTarget, WinRateTarget

__all__ = ["batch_of_one", "rewards", "win_rates"]


def rewards(checked: Checked) -> Iterator[Diagnostic]:
    """E103: a reward is wanted, and neither rows nor a source give one."""
    data = checked.spec.job.data
    wanted = [t for t in checked.spec.job.objective.terms if _reads(t, "reward")]
    for term in wanted[:1]:
        if data.kind == "demonstrations":
            message = f"`{term.name}` takes a reward, but rows of kind `{data.kind}` have none"
            yield checked.finding("E103", message, ("data", "kind"))
        if isinstance(data, Sampled) and data.reward is None:
            message = f"`{term.name}` takes a reward, and `data.reward` is missing"
            yield checked.finding("E103", message, ("data",), help=GIVE_REWARD)
    if (
        isinstance(data, Sampled)
        and not wanted
        and _ranks(checked)
        and data.reward is None
        and data.oracle is None
    ):
        message = "the best and the worst response are wanted, and neither `data.reward` nor `data.oracle` tells them"
        yield checked.finding("E103", message, ("data",), help=GIVE_REWARD)


GIVE_REWARD = (
    "add `reward: {kind: verifier, name: exact_number}`, a model, a function or an endpoint to `data`"
)


def _reads(term: Term, what: str) -> bool:
    """Tell whether a term reads a reward, or an estimated win rate."""
    if isinstance(term, PolicyGradient):
        return term.reward == what
    if isinstance(term, Preference):
        return what == "reward" and (term.margin.kind == "reward_gap")
    target = term.target if isinstance(term, Pointwise) else None
    if what == "reward":
        return isinstance(target, RewardTarget)
    return isinstance(target, WinRateTarget) and target.outcome == "column"


def _ranks(checked: Checked) -> bool:
    return checked.loss.view.convert == "best_worst"


def win_rates(checked: Checked) -> Iterator[Diagnostic]:
    """E104: an estimated win rate is wanted, and nothing tells it."""
    data = checked.spec.job.data
    reading = [(i, t) for i, t in enumerate(checked.spec.job.objective.terms) if _reads(t, "win_rate")]
    if reading:
        yield from _untold(checked, reading[0][1].name)
    for index, term in reading:
        target = term.target if isinstance(term, Pointwise) else None
        estimated = isinstance(target, WinRateTarget) and isinstance(target.baseline, str)
        if estimated and data.kind != "self_play":
            message = f"`{term.name}` estimates the log-partition from the policy's own responses, and these are given"
            yield checked.finding("E104", message, (*term_path(index), "target", "baseline"))


def _untold(checked: Checked, name: str) -> Iterator[Diagnostic]:
    """Say why no win rate can be told, once for all terms that read it."""
    data = checked.spec.job.data
    if data.kind in ("pairwise", "demonstrations"):
        message = f"`{name}` takes a win rate, but rows of kind `{data.kind}` have none"
        yield checked.finding("E104", message, ("data", "kind"))
    if not isinstance(data, Sampled):
        return
    if data.oracle is None:
        message = f"`{name}` takes a win rate, and `data.oracle` is missing"
        hint = "add `oracle:`, which prefers one response to another"
        yield checked.finding("E104", message, ("data",), help=hint)
    elif _blind(data.oracle):
        message = "a column says the same of every response to a prompt: each wins with probability ½"
        hint = "judge the response: a verifier, a model"
        yield checked.finding("E104", message, ("data", "oracle"), help=hint)
    elif data.opponent.kind == "policy" and data.completions_per_prompt < 2:
        message = f"`{name}` takes the win rate of one response among one: it is always ½"
        yield checked.finding("E104", message, ("data", "completions_per_prompt"))


def _blind(oracle: object) -> bool:
    """Tell an oracle that only looks at the prompt's row."""
    if isinstance(oracle, BradleyTerry):
        sources = oracle.reward if isinstance(oracle.reward, list) else [oracle.reward]
        return all(isinstance(s, ColumnReward) for s in sources)
    return isinstance(oracle, ColumnReward)


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
