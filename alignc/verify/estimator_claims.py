"""Claims about KL estimators: the terms of a spec, and the whole table of places and samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from alignc.contract.models import ROLLOUT
from alignc.contract.responses import COMPLETIONS
from alignc.load.load import Loaded
from alignc.lower.estimators import KAPPA
from alignc.lower.loss import Loss
from alignc.spec.kl import FULL, K1, K2, K3
from alignc.spec.objective import KLTerm, PolicyGradient
from alignc.theory.divergence import meaning
from alignc.theory.kinds import Kind, Placement
from alignc.theory.soundness import Sampling, kl_codes, placed
from alignc.verify.estimators import divergence_gradient, placement_gradient, token_gradient, tree_kl_gradient
from alignc.verify.observe import NAMED, observed_codes
from alignc.verify.report import Claim, Verdict, judged
from alignc.verify.toy import Array, Expected, Row, Toy, log_softmax

__all__ = ["kl_table", "kl_terms", "own_estimators", "token_table"]

PLACES: tuple[tuple[Placement, Sampling], ...] = (
    ("reward", "policy"), ("loss", "policy"), ("ratio", "policy"),
    ("reward", "weighted"), ("loss", "weighted"), ("ratio", "weighted"), ("loss", "given"),
)  # fmt: skip
SAMPLED = {"policy": "own samples", "weighted": "off-policy, ρ", "given": "off-policy, no ρ"}
EXACT = 1e-9


def kl_terms(spec: Loaded, loss: Loss, toy: Toy) -> Iterator[Claim]:
    """Compare each compiled term's expected gradient with that of the divergence that it is said to descend."""
    for lowered, term in zip(loss.terms, spec.job.objective.terms, strict=True):
        if not isinstance(term, KLTerm) or term.clamp is not None or term.gradient is not None:
            continue
        estimator, place, sampling = placed(term, spec.job.data.kind)
        logits = log_softmax(toy.rewards)
        law = logits if sampling == "policy" else toy.sampler
        rows = [Row(float(p), _everywhere(i, loss), {}) for i, p in enumerate(np.exp(law))]
        expected = Expected(loss, toy, rows, lowered.value)
        found = expected.gradient(np.concatenate([logits, np.zeros(toy.size + 1)]))[: toy.size]
        base = toy.sampler if term.anchor == ROLLOUT else toy.reference
        about = f"{term.name}: {estimator}, {SAMPLED[sampling]}"
        if sampling == "given":
            yield _anchor_holds(about, term, expected, base, toy)
        else:
            yield _descends(about, estimator, place, found, logits, base)


def _everywhere(member: int, loss: Loss) -> dict[str, int | tuple[int, ...]]:
    """Put one response in every part of a row."""
    return {y: (member, member) if y == COMPLETIONS else member for y in loss.view.responses}


def _descends(
    about: str, estimator: str, place: Placement, found: Array, logits: Array, base: Array
) -> Claim:
    says = meaning(estimator, place)
    if says.kind == Kind.NULL:
        gap = float(np.abs(found).max())
        return Claim(about, "no gradient in expectation (E201)", "", gap, judged(gap < EXACT))
    if says.kind not in NAMED:
        return Claim(about, f"descends {says.divergence}", "", None, Verdict.TOLD)
    wanted = says.scale * divergence_gradient(NAMED[says.kind], logits, base)
    gap, size = float(np.abs(found - wanted).max()), float(np.abs(wanted).max())
    return Claim(
        about, f"descends {says.divergence}", "one action", gap, judged(gap < EXACT * max(1.0, size))
    )


def _anchor_holds(about: str, term: KLTerm, expected: Expected, base: Array, toy: Toy) -> Claim:
    pushes = "E202" in kl_codes(term.estimator, "loss", term.granularity, "given")
    steps = [side * 1e-8 * np.arange(toy.size) for side in (1, -1)]
    found = [expected.gradient(np.concatenate([base + s, np.zeros(toy.size + 1)])) for s in steps]
    gap = float(np.abs(np.mean(found, axis=0)).max())
    says = (
        "pushes away from the anchor (E202)" if pushes else "is zero at the anchor, and is not ∇KL elsewhere"
    )
    return Claim(about, says, "", gap, judged((gap > 1e-6) == pushes))


def own_estimators(spec: Loaded, toy: Toy) -> Iterator[Claim]:
    """Compare what checks says of the estimators of a spec, each at its place, with what enumeration finds."""
    seen: dict[tuple[str, Placement, Sampling], None] = {}
    for term in spec.job.objective.terms:
        if isinstance(term, KLTerm):
            estimator, place, sampling = placed(term, spec.job.data.kind)
            seen[estimator, place, sampling] = None
        elif isinstance(term, PolicyGradient) and term.kl is not None:
            seen[term.kl.estimator, term.kl.placement, "policy"] = None
    for estimator, place, sampling in seen:
        if estimator != FULL.name:
            yield _entry(estimator, place, sampling, toy)


def kl_table(formulas: Sequence[str], toy: Toy) -> Iterator[Claim]:
    """Compare what checks says of every estimator at every place with what enumeration finds."""
    for estimator in dict.fromkeys((*KAPPA, *formulas)):
        for place, sampling in PLACES:
            yield _entry(estimator, place, sampling, toy)


def _entry(estimator: str, place: Placement, sampling: Sampling, toy: Toy) -> Claim:
    codes = kl_codes(estimator, place, "sequence", sampling)
    seen = observed_codes(estimator, place, "sequence", sampling, toy)
    says = meaning(estimator, place)
    words = (
        says.divergence if sampling != "given" else "rests at the reference" if not codes else "pushes away"
    )
    gap = None
    if sampling != "given" and says.kind in NAMED:
        at = log_softmax(toy.rewards)
        wanted = says.scale * divergence_gradient(NAMED[says.kind], at, toy.reference)
        gap = float(np.abs(placement_gradient(estimator, place, sampling, at, toy) - wanted).max())
    holds = codes == seen and (gap is None or gap < EXACT)
    return Claim(
        f"{estimator} in {place}, {SAMPLED[sampling]}", words, ", ".join(seen) or "sound", gap, judged(holds)
    )


TREE_LOGITS = np.array([0.3, -0.2, 0.5, -0.4, -0.1, 0.6])
TREE_REFERENCE = np.array([-0.3, 0.4, 0.2, 0.3, 0.5, -0.5])
ROWS: tuple[tuple[str, Placement, str, float, str], ...] = (
    (K1.name, "reward", "token", 1.0, "whole"),
    (K2.name, "loss", "sequence", 1.0, "whole"),
    (K1.name, "ratio", "sequence", 1.0, "whole"),
    (K3.name, "ratio", "sequence", 1.0, "whole"),
    (K2.name, "loss", "token", 1.0, "steps"),
    (K1.name, "reward", "token", 0.0, "steps"),
    (FULL.name, "loss", "token", 1.0, "steps"),
    (K1.name, "ratio", "token", 1.0, "steps"),
    (K3.name, "ratio", "token", 1.0, "steps"),
)
MEANS = {"whole": "∇KL(π‖ref) of whole responses", "steps": "the stepwise gradient Σ_t E[∇KL_t]"}


def token_table() -> Iterator[Claim]:
    """Compare token by token with the whole response, on two tokens of two words."""
    logits, reference = TREE_LOGITS, TREE_REFERENCE
    steps = token_gradient(FULL.name, "loss", "token", logits, reference)
    wanted = {"whole": tree_kl_gradient(logits, reference), "steps": steps}
    for estimator, place, granularity, discount, which in ROWS:
        found = token_gradient(estimator, place, granularity, logits, reference, discount=discount)
        gap = float(np.abs(found - wanted[which]).max())
        later = ", discount 0" if discount == 0 else ""
        about = f"{estimator} in {place}, {granularity}{later}"
        yield Claim(about, MEANS[which], f"first entry {found[0]:.4f}", gap, judged(gap < EXACT))
    both = steps + token_gradient(FULL.name, "reward", "token", logits, reference)
    gap = float(np.abs(both - wanted["whole"]).max())
    yield Claim("full in loss and, of what follows, in reward", MEANS["whole"], f"first entry {both[0]:.4f}", gap,
                judged(gap < EXACT))  # fmt: skip
