"""Checks of the sampling distribution: whether samples come from the distribution that a term assumes."""

from __future__ import annotations

from collections.abc import Iterator

from alignc.checks.rule import Checked
from alignc.diagnostics import Diagnostic
from alignc.spec.kl import FULL
from alignc.spec.objective import KLTerm, Pointwise, PolicyGradient, Preference, Term
from alignc.spec.rows import Sampled, SelfPlay
from alignc.spec.targets import WinRateTarget
from alignc.theory.soundness import placed

__all__ = ["sharpened"]


def sharpened(checked: Checked) -> Iterator[Diagnostic]:
    """W312: samples come from another distribution than the policy whose log-probabilities the loss uses."""
    data = checked.spec.job.data
    if not isinstance(data, Sampled) or not data.law:
        return
    for term in checked.spec.job.objective.terms:
        if said := _own_law(term, data, checked.spec.job.data.kind):
            cut = said[1] is CUT_OFF or data.temperature == 1
            path = ("data", data.cuts[0] if cut else "temperature")
            yield checked.finding("W312", f"`{term.name}` {said[0].format(law=data.law)}", path, why=said[1])


def _own_law(term: Term, data: Sampled, kind: str) -> tuple[str, str | None] | None:
    """Return the message about a term that assumes samples of the policy, and a reason or None for the code's own."""
    if isinstance(term, PolicyGradient):
        return "treats samples at {law} as samples of the policy", None
    if isinstance(term, KLTerm) and term.estimator != FULL.name and placed(term, kind)[2] != "given":
        return "treats samples at {law} as samples of the policy", None
    if (
        isinstance(term, Pointwise)
        and isinstance(term.target, WinRateTarget)
        and data.opponent.kind == "policy"
        and data.temperature > 0  # at temperature 0, E105 already reports that nothing is learnt
    ):
        return "treats win rates against samples at {law} as win rates against the policy", OTHER_OPPONENT
    if (
        isinstance(term, Preference)
        and isinstance(data, SelfPlay)
        and data.oracle is None
        and data.temperature > 0
    ):
        return "compares the rows with samples at {law}, not with samples of the policy", NOT_ITSELF
    if isinstance(term, Preference | Pointwise) and data.cuts and data.temperature > 0:
        return "compares samples at {law}, which come from a distribution without full support", CUT_OFF
    return None


NOT_ITSELF = (
    "self-play stops when the samples have the distribution of the rows; then the sharpened policy has this "
    "distribution, and the policy itself has another distribution"
)
CUT_OFF = (
    "a comparison fixes the optimum only if sampling can draw every response; the cut tail is never drawn, so the loss "
    "does not determine its probability"
)
OTHER_OPPONENT = (
    "the update of multiplicative weights assumes the policy as the opponent; at another temperature, or with a cut "
    "tail, the opponent is another distribution; means over the responses are then not means under the policy"
)
