"""Checks of anchors: whether each loss has the reference that it needs."""

from __future__ import annotations

from collections.abc import Iterator

from alignc.checks.rule import Checked, term_path
from alignc.contract.kinds import ONLINE
from alignc.contract.models import POLICY, PREVIOUS_ITERATE, SAMPLED, is_other
from alignc.diagnostics import Diagnostic
from alignc.lower.links import LINKS
from alignc.lower.loss import Loss
from alignc.spec.axes import ConstantMargin, NoMargin
from alignc.spec.objective import KLTerm, Preference
from alignc.spec.rows import Sampled
from alignc.spec.scores import SCORES

__all__ = ["anchor_of_its_own", "anchor_without_reference", "no_anchor", "references", "unread_reference"]


def anchor_without_reference(checked: Checked) -> Iterator[Diagnostic]:
    """E110: a log-ratio to a reference together with `reference: {kind: none}`."""
    reference = checked.spec.job.model.reference
    own = {POLICY, *(SAMPLED if checked.spec.job.data.kind in ONLINE else ())}
    anchors = {m for m in checked.loss.models if not is_other(m)} - own
    if anchors and reference is not None and reference.kind == "none":
        message = "the objective needs a log-ratio to a reference, but `model.reference` is `none`"
        yield checked.finding("E110", message, ("model", "reference", "kind"))


def unread_reference(checked: Checked) -> Iterator[Diagnostic]:
    """W114: a reference that a loss on sampled rows does not read."""
    job, path = checked.spec.job, ("model", "reference", "kind")
    kind = job.model.reference.kind if job.model.reference is not None else "none"
    elsewhere = any(references(loss) for loss in checked.every if loss is not checked.loss)
    if isinstance(job.data, Sampled) and kind != "none" and not _read(checked, job.data) and not elsewhere:
        message = "the objective compares the policy with the rollout policy, and reads no other reference"
        yield checked.finding("W114", message, path)


def references(loss: Loss) -> set[str]:
    """Collect the references that a loss on given rows reads, without the models of single terms."""
    return {name for name in loss.models if name != POLICY and not is_other(name)}


def anchor_of_its_own(checked: Checked) -> Iterator[Diagnostic]:
    """E004: the anchor of a term is a model of its own, and the policy samples the responses."""
    if checked.spec.job.data.kind not in ONLINE:
        return
    for index, term in enumerate(checked.spec.job.objective.terms):
        steps = ("anchor",) if isinstance(term, KLTerm) else ("score", "anchor")
        anchor = (
            term.anchor if isinstance(term, KLTerm) else getattr(getattr(term, "score", None), "anchor", None)
        )
        if isinstance(anchor, str) and "/" in anchor:
            message = "a term's own anchor can score only given rows; sampled responses have one reference"
            help_ = "name the model in `model.reference: {kind: path, path: …}`"
            yield checked.finding("E004", message, (*term_path(index), *steps), help=help_)


def _read(checked: Checked, data: Sampled) -> bool:
    """Return whether the loss, the reward, a mixture opponent or the KL of an evaluation reads the reference."""
    anchors = set(checked.loss.models) - {POLICY, *SAMPLED}
    reference = checked.spec.job.model.reference
    moved = (
        reference is not None
        and reference.kind == "previous_iterate"
        and PREVIOUS_ITERATE in checked.loss.models
    )
    return bool(anchors) or moved or data.eval is not None or data.opponent.kind == "mixture"


def no_anchor(checked: Checked) -> Iterator[Diagnostic]:
    """W406: a preference without a reference, a margin or a likelihood term has no optimum."""
    terms = checked.spec.job.objective.terms
    every = (checked.spec.whole or checked.spec).job.objective.terms
    anchored = any(t.kind in ("likelihood", "kl") for t in every)
    for index, term in enumerate(terms):
        if isinstance(term, Preference) and _free(term) and not anchored:
            message = (
                f"`{term.name}` has no reference, no margin and no likelihood term: nothing bounds the policy"
            )
            yield checked.finding("W406", message, (*term_path(index), "score", "of"))


def _free(term: Preference) -> bool:
    margin = term.margin
    none = isinstance(margin, NoMargin) or (isinstance(margin, ConstantMargin) and margin.value == 0)
    return SCORES[term.score.of].likelihood and none and not LINKS[term.link.kind].regression
