"""Checks of the optimum: whether it exists, whether it is the intended one, and whether steps can reach it."""

from __future__ import annotations

from collections.abc import Iterator

from alignc.checks.rule import Checked, term_path
from alignc.contract.models import POLICY
from alignc.contract.responses import COMPLETIONS
from alignc.diagnostics import Diagnostic
from alignc.graph import build as b
from alignc.graph.evaluate import evaluate
from alignc.graph.gradient import gradient
from alignc.graph.nodes import Column, Length, Logp, Node
from alignc.graph.rewrite import inputs
from alignc.lower.links import LINKS, endless
from alignc.lower.loss import TermLoss, alone
from alignc.spec.axes import (
    ConstantMargin,
    FormulaLink,
    RobustLink,
)
from alignc.spec.objective import Pointwise, Preference
from alignc.spec.scores import F_RATIO, is_ratio
from alignc.spec.targets import RewardTarget, WinRateTarget

__all__ = [
    "constant_baseline",
    "deterministic_labels",
    "large_steps",
    "length_tilt",
    "linear",
    "saturating",
    "unbounded",
]


def linear(checked: Checked) -> Iterator[Diagnostic]:
    """E302: a constant downward push on a given response has no limit."""
    terms = checked.spec.job.objective.terms
    for index, (lowered, term) in enumerate(zip(checked.loss.terms, terms, strict=True)):
        if term.kind in ("kl", "policy_gradient", "value", "entropy"):
            continue
        for response in lowered.responses:
            if _pushed_down(lowered, response):
                negative = term.weight < 0
                formula = isinstance(getattr(term, "link", None), FormulaLink)
                written = (*term_path(index), "link", "formula") in checked.spec.document.origins
                link = ("link", "formula") if written else ("link",)
                step = ("weight",) if negative else link if formula else ()
                message = f"`{term.name}` lowers log π of the {response} response without bound"
                yield checked.finding("E302", message, (*term_path(index), *step))
                break


def _pushed_down(lowered: TermLoss, response: str) -> bool:
    """Return whether the coefficient on ∇log π does not depend on the policy, and is positive for some label."""
    slope = b.multiply(lowered.weight, gradient(alone(lowered.rows), Logp(POLICY, response)))
    if response == COMPLETIONS or any(isinstance(n, Logp) for n in inputs(slope)):
        return False
    return any(_value(slope, label) > 1e-12 for label in (0.0, 1.0))


def _value(slope: Node, label: float) -> float:
    """Evaluate a coefficient for responses of ten tokens with reward 1."""
    given = {n: [10.0 if isinstance(n, Length) else label if _is_label(n) else 1.0] for n in inputs(slope)}
    found = evaluate(slope, given)
    while isinstance(found, list):
        found = found[0]
    return float(found)


def _is_label(node: Node) -> bool:
    return isinstance(node, Column) and node.name == "label"


def constant_baseline(checked: Checked) -> Iterator[Diagnostic]:
    """W306: a squared loss of single responses around a constant; the preset `sppo` documents this itself."""
    for index, term in enumerate(checked.spec.job.objective.terms):
        if not (isinstance(term, Pointwise) and LINKS[term.link.kind].regression):
            continue
        target, own = term.target, checked.spec.bound_at(term_path(index)) is None
        rewarded = isinstance(target, RewardTarget) and target.baseline == "none"
        if rewarded or (own and isinstance(target, WinRateTarget)):
            message = f"`{term.name}` has a constant baseline: its optimum is not ref·exp(R/β)"
            yield checked.finding("W306", message, (*term_path(index), "target"))


def deterministic_labels(checked: Checked) -> Iterator[Diagnostic]:
    """W407: the best and the worst of scored responses, where the reward decides every label.

    The labels of given pairs may be noisy, so this rule does not apply to them. `explain` describes the case of
    deterministic labels, and the known behaviour of each preset.
    """
    if checked.spec.job.data.kind != "scored":
        return
    for index, term in enumerate(checked.spec.job.objective.terms):
        own = checked.spec.bound_at(term_path(index)) is None
        if own and isinstance(term, Preference) and term.pairs == "best_worst" and endless(term.link):
            message = "the rewards decide every label, so the margin has no finite optimum"
            yield checked.finding("W407", message, (*term_path(index), "link"))


def length_tilt(checked: Checked) -> Iterator[Diagnostic]:
    """W408: log-ratios that are averaged over tokens, where the theory needs their sum."""
    for index, term in enumerate(checked.spec.job.objective.terms):
        if not isinstance(term, Preference | Pointwise):
            continue
        score = term.score
        averaged = is_ratio(score.of) and score.reduce == "mean"
        margin = getattr(term, "margin", None)
        calibrated = isinstance(margin, ConstantMargin) and LINKS[term.link.kind].regression
        if averaged and not calibrated:
            message = f"`{term.name}` averages log-ratios over tokens: the reward of n tokens counts n times"
            yield checked.finding("W408", message, (*term_path(index), "score", "reduce"))


def saturating(checked: Checked) -> Iterator[Diagnostic]:
    """W409: an f′ that is flat for likely responses and steep for unlikely responses."""
    for index, term in enumerate(checked.spec.job.objective.terms):
        if isinstance(term, Preference | Pointwise) and term.score.of == F_RATIO:
            divergence = term.score.divergence
            if divergence in ("forward_kl", "alpha"):
                name = "KL(ref‖π)" if divergence == "forward_kl" else "the α-divergence"
                message = f"f′ of {name} vanishes as π/ref grows, and explodes as π/ref falls"
                yield checked.finding("W409", message, (*term_path(index), "score", "divergence"))


def unbounded(checked: Checked) -> Iterator[Diagnostic]:
    """W410: the robust link decreases without bound."""
    for index, term in enumerate(checked.spec.job.objective.terms):
        link = getattr(term, "link", None)
        if isinstance(link, RobustLink) and 0 < link.label_smoothing < 0.5:
            slope = link.label_smoothing / (1 - 2 * link.label_smoothing)
            message = f"the loss of each pair falls by {slope:.3g} for each unit of margin, without bound"
            yield checked.finding("W410", message, (*term_path(index), "link", "label_smoothing"))


def large_steps(checked: Checked) -> Iterator[Diagnostic]:
    """W411: coefficients of η/2 under an optimizer that does not normalise the gradient."""
    train = checked.spec.job.train
    plain = train.optim == "sgd" and not train.max_grad_norm
    for index, term in enumerate(checked.spec.job.objective.terms):
        target = term.target if isinstance(term, Pointwise) else None
        if isinstance(target, WinRateTarget) and target.eta >= 100 and plain:
            message = f"η = {target.eta:g} makes coefficients of about {target.eta / 2:g}, without a limit"
            yield checked.finding("W411", message, (*term_path(index), "target", "eta"))
