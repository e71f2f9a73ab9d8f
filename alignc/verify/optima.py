"""Claims about where an objective ends: its optimum on and off the policy, with certain labels, without an anchor.

A stated optimum is refuted where the expected gradient leads away from it, or where another policy has a lower loss.
A search that does not converge refutes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from alignc.contract.models import INITIAL, POLICY, ROLLOUT
from alignc.load.load import Loaded
from alignc.lower.links import LINKS, endless
from alignc.lower.loss import Loss
from alignc.lower.lower import lower
from alignc.spec.axes import DropMargin, RewardGapMargin
from alignc.spec.objective import Pointwise, Preference
from alignc.spec.scores import LOG_RATIO, SCALAR_HEAD
from alignc.spec.targets import RewardTarget, WinRateTarget
from alignc.verify.objectives import theta_of
from alignc.verify.optimum import Stated, stated
from alignc.verify.ranks import by_rank, ranked
from alignc.verify.report import Claim, Curve, Verdict, judged
from alignc.verify.rows import GROUP_SIZE, rows_of_data, win_rates
from alignc.verify.solve import FAR, Ended, Field, Outcome, flow, jacobian, polished, search
from alignc.verify.toy import Array, Expected, Toy, log_softmax

__all__ = ["field_of", "judge", "optima", "paths", "unlike"]

CLOSE = 1e-6
LARGEST = 8
"""Responses of the largest group whose gradient is enumerated."""
ENDLESS = 1e6
"""Nats that a search may go where a finite optimum is claimed."""


def optima(spec: Loaded, loss: Loss, toy: Toy) -> Iterator[Claim]:
    """Search the fixed point on and off the policy, and compare it with the stated one."""
    if ranked(loss):
        yield from by_rank(loss, toy)
        return
    for law, sampler in (("own samples of ref", toy.reference), ("off-policy data", toy.sampler)):
        yield _optimum(spec, loss, replace(toy, sampler=sampler), law)
    if loss.models == (POLICY,):
        yield _unanchored(loss, toy)
    yield from _certain(spec, loss, toy)
    yield from _policy_gradient(spec, loss, toy)
    yield from _wrong_baseline(spec, toy)
    yield from _partition(spec, loss, toy)


# ---- the search -----------------------------------------------------------------------------------------------


def _anchored(loss: Loss, toy: Toy) -> Toy:
    """Take the sampler for the reference where the score is relative to it."""
    only = ROLLOUT in loss.models and INITIAL not in loss.models
    return replace(toy, reference=toy.sampler) if only else toy


def _stated(spec: Loaded, loss: Loss, toy: Toy) -> Stated:
    return stated(spec.job.objective.terms, _anchored(loss, toy), paired=loss.view.pair)


def field_of(expected: Expected, toy: Toy) -> Field:
    """Make the expected gradient a function of the logits, and of what else is learned."""
    full = 2 * toy.size + 1
    count = toy.size if expected.logits_alone else full

    def filled(x: Array) -> Array:
        return np.concatenate([x, np.zeros(full - len(x))])

    def value(x: Array, held: Array) -> float:
        return expected.loss(filled(x), filled(held))

    return Field(lambda x: expected.gradient(filled(x))[:count], toy.size, value, expected.potential)


def _field(loss: Loss, toy: Toy, said: Stated, noise: str = "noisy") -> tuple[Field, Array]:
    expected = Expected(loss, toy, rows_of_data(loss, toy, noise=noise, flips=said.flips))
    start = theta_of(_anchored(loss, toy).reference, toy)
    return field_of(expected, toy), start[: toy.size] if expected.logits_alone else start


def _search(loss: Loss, toy: Toy, said: Stated) -> Ended:
    field, start = _field(loss, toy, said)
    return search(field, start, far=_far(said, start[: toy.size]))


def _far(said: Stated, start: Array) -> float:
    return FAR if said.policy is None else 100.0 + 3 * float(np.ptp(said.policy - start))


def unlike(policy: Array, other: Array) -> float:
    """Measure how unlike two policies are: in nat, relative to log-probabilities beyond 1."""
    return float((np.abs(policy - other) / np.maximum(1.0, np.abs(other))).max())


# ---- the verdict ----------------------------------------------------------------------------------------------


def judge(field: Field, start: Array, said: Stated) -> tuple[Verdict, str, float | None]:
    """Hold a stated policy against the gradient there, and against a search from elsewhere that knows nothing of it."""
    assert said.policy is not None
    size = field.size
    ended = search(field, start, far=_far(said, start[:size]))
    reached = log_softmax(ended.theta[:size])
    if ended.found and unlike(reached, said.policy) < CLOSE:
        return Verdict.HOLDS, _shown(reached), unlike(reached, said.policy)
    near = _near(field, start, said.policy)
    gap = unlike(log_softmax(near.theta[:size]), said.policy)
    rests = near.found and gap < CLOSE
    shown = _shown(said.policy) if rests else _shown(reached)
    if rests and field.potential and field.value is not None:
        here, there = (field.value(x, x) for x in (near.theta, ended.theta))
        if there < here - 1e-9 * (1 + abs(here)):
            return Verdict.REFUTED, f"a lower loss at {_shown(reached)}", unlike(reached, said.policy)
        if ended.found:
            return Verdict.HOLDS, f"{shown}; descent from ref ends in a higher loss", gap
    if rests:
        return Verdict.UNDECIDED, f"the gradient is 0 at {shown}; from ref: {_ended(ended)}", gap
    if ended.found or near.found or _pushes(field, near.theta, start, said.policy):
        return Verdict.REFUTED, _ended(ended, reached), unlike(reached, said.policy)
    return Verdict.UNDECIDED, _ended(ended, reached), None


def _near(field: Field, start: Array, policy: Array) -> Ended:
    """Polish from the stated policy; what else is learned is first fitted there."""
    theta = np.concatenate([policy, start[field.size :]])
    if len(theta) > field.size:
        rest = search(Field(lambda x: _rest(field, policy, x), 1), theta[field.size :])
        theta = np.concatenate([policy, rest.theta])
    return polished(field, theta)


def _rest(field: Field, policy: Array, learned: Array) -> Array:
    found: Array = field.gradient(np.concatenate([policy, learned]))[field.size :]
    return found


def _pushes(field: Field, theta: Array, start: Array, policy: Array) -> bool:
    """Tell whether the gradient at the stated policy is as large as it is a nat away: no rest, and no rounding."""
    here = np.concatenate([policy, theta[field.size :]])
    found = float(np.abs(field.gradient(here)).max())
    moves = np.random.default_rng(0).normal(size=(4, len(here)))
    around = [float(np.abs(field.gradient(here + 0.1 * m)).max()) for m in moves]
    return bool(np.isfinite(found) and found > 0.01 * max(around))


def _ended(ended: Ended, reached: Array | None = None) -> str:
    where = "" if reached is None else f", at {_shown(reached)}"
    match ended.outcome:
        case Outcome.RESTS:
            return "descent ends elsewhere" + where
        case Outcome.LEAVES:
            return "descent leads away without end" + where
        case Outcome.STALLED:
            return f"not converged, residual {ended.residual:.1e}" + where


def _shown(policy: Array) -> str:
    return "[" + " ".join(f"{p:.4f}" for p in np.exp(policy)) + "]"


# ---- the claims -----------------------------------------------------------------------------------------------


def _optimum(spec: Loaded, loss: Loss, toy: Toy, law: str) -> Claim:
    said = _stated(spec, loss, toy)
    labels = ", Bradley-Terry labels" if loss.view.convert == "best_worst" else ""
    about = f"optimum, {law}{labels}"
    field, start = _field(loss, toy, said)
    if said.policy is not None and not np.all(np.isfinite(said.policy)):
        return Claim(about, said.words, "not decided: the closed form overflows", None, Verdict.UNDECIDED)
    if said.policy is not None:
        verdict, shown, gap = judge(field, start, said)
        return Claim(about, said.words, shown, gap, verdict)
    ended = search(field, start, homotopy=False)
    shown = _shown(log_softmax(ended.theta[: toy.size]))
    if said.exists is False:
        by_outcome = {Outcome.LEAVES: Verdict.HOLDS, Outcome.RESTS: Verdict.REFUTED}
        return Claim(
            about, said.words, _where(ended, shown), None, by_outcome.get(ended.outcome, Verdict.UNDECIDED)
        )
    return Claim(about, said.words, _where(ended, shown), None, Verdict.UNDECIDED)


def _where(ended: Ended, shown: str) -> str:
    match ended.outcome:
        case Outcome.RESTS:
            return f"here the gradient is 0 at {shown}"
        case Outcome.LEAVES:
            return f"none: π goes on beyond {shown}"
        case Outcome.STALLED:
            return f"not converged at {shown}, residual {ended.residual:.1e}"


def _unanchored(loss: Loss, toy: Toy) -> Claim:
    """Move the reference: without an anchor nothing follows."""
    other = replace(toy, reference=toy.sampler)
    theta = theta_of(log_softmax(toy.rewards), toy)
    rows = rows_of_data(loss, toy)
    first, second = (Expected(loss, t, rows).gradient(theta) for t in (toy, other))
    gap = float(np.abs(first - second).max())
    says = "the loss has no reference, so its optimum depends on none"
    if not np.all(np.isfinite(first)):
        return Claim("reference", says, "not decided: the gradient overflows", None, Verdict.UNDECIDED)
    return Claim("reference", says, "another reference gives the same gradient", gap, judged(gap == 0))


def _certain(spec: Loaded, loss: Loss, toy: Toy) -> Iterator[Claim]:
    """Let the better response always win."""
    terms = spec.job.objective.terms
    labelled = loss.view.pair and loss.view.convert != "demonstration"
    if len(terms) != 1 or not isinstance(terms[0], Preference) or not labelled or terms[0].weight <= 0:
        return
    link, score = terms[0].link, terms[0].score
    never = endless(link) and not LINKS[link.kind].debiased
    bounded = (
        isinstance(terms[0].margin, DropMargin)
        or score.of == SCALAR_HEAD
        or score.transform is not None
        or terms[0].center > 0
    )
    weighted = terms[0].sample_weight != "none"  # a square is finite, but its weights move with the policy
    if bounded or not (never or (LINKS[link.kind].regression and not weighted)):
        return
    field, start = _field(loss, toy, Stated("", None), "certain")
    ended = search(field, start, far=FAR if never else ENDLESS)
    says = "no finite optimum: the margin grows without bound" if never else "a finite optimum"
    shown = _where(ended, _shown(log_softmax(ended.theta[: toy.size])))
    wanted, other = (Outcome.LEAVES, Outcome.RESTS) if never else (Outcome.RESTS, Outcome.LEAVES)
    verdict = {wanted: Verdict.HOLDS, other: Verdict.REFUTED}.get(ended.outcome, Verdict.UNDECIDED)
    yield Claim("optimum, certain labels", says, shown, None, verdict)


def _partition(spec: Loaded, loss: Loss, toy: Toy) -> Iterator[Claim]:
    """Tell what the constant ½ does to self-play's update: the best response's share, and with the exact log Z."""
    terms = spec.job.objective.terms
    target = terms[0].target if len(terms) == 1 and isinstance(terms[0], Pointwise) else None
    if not isinstance(target, WinRateTarget) or target.outcome != "column":
        return
    own = replace(toy, sampler=toy.reference)
    said = stated(terms, own, paired=loss.view.pair)
    beta = terms[0].score.beta  # type: ignore[union-attr]
    exact = log_softmax(toy.reference + target.eta / beta * win_rates(own))
    best = int(np.argmax(exact))
    if said.policy is not None and not isinstance(target.baseline, str):
        found = f"π(best) = {np.exp(said.policy[best]):.4f}, with log Z {np.exp(exact[best]):.4f}"
        says = f"the constant {target.baseline:g} for log Z tilts the update"
        gap = float(np.abs(np.exp(said.policy) - np.exp(exact)).max())
        yield Claim("partition", says, found, gap, Verdict.TOLD)


def _contrast(spec: Loaded) -> Preference | None:
    """Find a squared contrast of rewards: CoPG, REBEL and kin."""
    terms = spec.job.objective.terms
    term = terms[0] if len(terms) == 1 else None
    if isinstance(term, Preference) and LINKS[term.link.kind].regression and term.weight > 0:
        plain = isinstance(term.margin, RewardGapMargin) and term.score.of == LOG_RATIO and not term.center
        plain = plain and term.score.transform is None and term.score.tail_weight == 1 and term.order == "row"
        return term if plain and term.score.reduce == "sum" and term.score.beta > 0 else None
    return None


def _policy_gradient(spec: Loaded, loss: Loss, toy: Toy) -> Iterator[Claim]:
    """On its own samples a squared contrast descends −J, J = E[R] − β·KL(π‖anchor)."""
    term = _contrast(spec)
    if term is None or ROLLOUT in loss.models or not isinstance(term.margin, RewardGapMargin):
        return
    if not loss.view.group:
        return
    told = getattr(spec.job.data, "completions_per_prompt", None) or GROUP_SIZE
    for size in sorted({2, GROUP_SIZE, min(int(told), LARGEST)}):
        yield _factor(term, loss, toy, size)


def _factor(term: Preference, loss: Loss, toy: Toy, size: int) -> Claim:
    """Compare with −2βλk·∇J: k times the gradient of RLOO where the loss is divided by 2β."""
    assert isinstance(term.margin, RewardGapMargin)
    factor = 2 * term.score.beta * term.weight * size
    worst, times = 0.0, []
    for seed in range(3):
        policy = log_softmax(np.random.default_rng(seed).normal(size=toy.size))
        own = replace(toy, sampler=policy)
        rows = rows_of_data(loss, own, size=size)
        found = Expected(loss, own, rows).gradient(theta_of(policy, toy))[: toy.size]
        worth = term.margin.scale * toy.rewards - term.score.beta * (policy - toy.reference)
        slope = -np.exp(policy) * (worth - np.exp(policy) @ worth)
        worst = max(worst, float(np.abs(found - factor * slope).max() / np.abs(factor * slope).max()))
        times.append(float(found @ slope / (slope @ slope)))
    says = f"{factor:.6g} times −∇(E[R] − β·KL(π‖ref)), 2βλk with λ = {term.weight:.6g}"
    shown = f"{min(times):.6g} times"
    return Claim(f"gradient, own samples, k = {size}", says, shown, worst, judged(worst < 1e-9))


def _wrong_baseline(spec: Loaded, toy: Toy) -> Iterator[Claim]:
    """Put a constant in the place of the other sample's baseline: CoPG's bandit."""
    if (wrong := _constant_baseline(spec)) is None:
        return
    loss = lower(wrong.lookup)
    anchored = _anchored(loss, toy)
    right = stated(spec.job.objective.terms, anchored).policy
    if right is None:
        return
    ended = _search(loss, toy, Stated("", right))
    policy = log_softmax(ended.theta[: toy.size])
    gap = float(np.abs(np.exp(policy) - np.exp(right)).max())
    moved = float(np.abs(np.exp(right) - np.exp(anchored.reference)).max())
    says = "with baseline 0 instead of the other sample's, off-policy training ends elsewhere"
    verdict = judged(gap > 1e-4 * moved) if ended.found else Verdict.UNDECIDED
    yield Claim("wrong baseline", says, _where(ended, _shown(policy)), gap, verdict)


def _constant_baseline(spec: Loaded) -> Loaded | None:
    term = _contrast(spec)
    if term is None or not isinstance(term.margin, RewardGapMargin):
        return None
    target = RewardTarget(kind="reward", scale=term.margin.scale, baseline="none")
    other = Pointwise(
        name=term.name, kind="pointwise", direction="up", score=term.score, target=target, link=term.link
    )
    objective = spec.job.objective.model_copy(update={"terms": [other]})
    return replace(spec, job=spec.job.model_copy(update={"objective": objective}))


def paths(spec: Loaded, loss: Loss, toy: Toy, steps: int = 120) -> Iterator[Curve]:
    """Follow the gradient from the reference: the distance to the stated optimum, or from the reference."""
    if ranked(loss):
        return
    said = _stated(spec, loss, toy)
    goal = said.policy if said.policy is not None else _anchored(loss, toy).reference
    words = "distance to the optimum" if said.policy is not None else "distance from the reference"
    runs = (
        [("own", loss)]
        if (wrong := _constant_baseline(spec)) is None
        else [("own", loss), ("0", lower(wrong.lookup))]
    )
    for name, each in runs:
        expected = Expected(each, toy, rows_of_data(each, toy, flips=said.flips))
        start = theta_of(_anchored(loss, toy).reference, toy)
        steep = float(np.abs(np.linalg.eigvals(jacobian(expected.gradient, start))).max())
        way = flow(expected.gradient, start, rate=0.5 / max(steep, 1e-9), steps=steps)
        away = [float(np.abs(np.exp(log_softmax(t[: toy.size])) - np.exp(goal)).max()) for t in way]
        yield Curve(words if name == "own" else f"{words}, baseline 0", tuple(away))
