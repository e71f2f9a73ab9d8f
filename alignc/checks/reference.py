"""Is there an anchor where one is needed, and is its absence meant?"""

from __future__ import annotations

from collections.abc import Iterator

from alignc.checks.rule import Checked, term_path
from alignc.diagnostics import Diagnostic
from alignc.spec.axes import ConstantMargin, NoMargin, SquaredLink
from alignc.spec.objective import Preference

__all__ = ["anchor_without_reference", "no_anchor"]


def anchor_without_reference(checked: Checked) -> Iterator[Diagnostic]:
    """E110: a log-ratio to a reference, but `reference: {kind: none}`."""
    reference = checked.spec.job.model.reference
    anchors = [m for m in checked.loss.models if m != "policy"]
    if anchors and reference is not None and reference.kind == "none":
        message = "the objective takes a log-ratio to a reference, but `model.reference` is `none`"
        yield checked.finding("E110", message, ("model", "reference", "kind"))


def no_anchor(checked: Checked) -> Iterator[Diagnostic]:
    """W406: a preference without a reference, a margin or a likelihood term has no optimum."""
    terms = checked.spec.job.objective.terms
    every = (checked.spec.whole or checked.spec).job.objective.terms
    anchored = any(t.kind in ("likelihood", "kl") for t in every)
    for index, term in enumerate(terms):
        if isinstance(term, Preference) and _free(term) and not anchored:
            message = (
                f"`{term.name}` has neither reference, margin nor likelihood term: nothing bounds the policy"
            )
            yield checked.finding("W406", message, (*term_path(index), "score", "of"))


def _free(term: Preference) -> bool:
    margin = term.margin
    none = isinstance(margin, NoMargin) or (isinstance(margin, ConstantMargin) and margin.value == 0)
    return term.score.of in ("log_prob", "log_odds") and none and not isinstance(term.link, SquaredLink)
