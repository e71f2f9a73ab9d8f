"""Claims about any objective: its gradient, its gauge, its first step, its optimum on and off the policy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from alignc.contract.models import INITIAL, POLICY, ROLLOUT
from alignc.graph import build as b
from alignc.graph.gradient import gradient
from alignc.graph.nodes import Logp
from alignc.graph.walk import walk
from alignc.load.load import Loaded
from alignc.lower.links import LINKS, endless
from alignc.lower.loss import Loss, alone
from alignc.lower.lower import lower
from alignc.spec.axes import RewardGapMargin
from alignc.spec.objective import Pointwise, Preference
from alignc.spec.scores import LOG_RATIO, SCALAR_HEAD
from alignc.spec.targets import RewardTarget, WinRateTarget
from alignc.verify.observe import multiple
from alignc.verify.optimum import Stated, stated
from alignc.verify.ranks import by_rank, ranked
from alignc.verify.report import Claim, Curve
from alignc.verify.rows import rows_of_data, win_rates
from alignc.verify.solve import Fixed, fixed_point, flow, jacobian
from alignc.verify.toy import Array, Expected, Toy, central_differences, log_softmax

__all__ = ["TOY", "first_step", "gauge", "gradients", "optima", "paths"]

TOY = Toy(
    (3, 5, 4, 7),
    log_softmax(np.array([0.4, -0.3, 0.1, -0.6])),
    log_softmax(np.array([-0.2, 0.5, -0.4, 0.3])),
    np.array([0.9, -0.4, 0.3, -0.8]),
)
"""Four responses of different length; the sampler is not the reference, and gives every response a chance."""
CLOSE = 1e-6
FAR = 25.0


def _theta(policy: Array, toy: Toy) -> Array:
    return np.concatenate([policy, np.zeros(toy.size + 1)])


def gradients(loss: Loss, toy: Toy) -> Claim:
    """Compare the derived gradient with differences of the expected loss, stop-gradients held."""
    expected = Expected(loss, toy, rows_of_data(loss, toy))
    random = np.random.default_rng(0)
    worst = 0.0
    for _ in range(3):
        theta = _theta(toy.reference, toy) + random.normal(0, 0.3, 2 * toy.size + 1)
        derived = expected.gradient(theta)
        counted = central_differences(lambda x, at=theta: expected.loss(x, at), theta)  # type: ignore[misc]
        worst = max(worst, float(np.abs(derived - counted).max() / (1 + np.abs(derived).max())))
    return Claim(
        "gradient", "the derived gradient equals differences of the expected loss", "", worst, worst < CLOSE
    )


def gauge(loss: Loss, toy: Toy) -> Iterator[Claim]:
    """Check whether the coefficients of a pair cancel, as explain says."""
    if not loss.view.pair:
        return
    slopes = [gradient(alone(loss.root), Logp(POLICY, y)) for y in loss.view.responses]
    if any(s.type.axis.by_token for s in slopes):
        return
    cancel = b.add(*slopes) == b.ZERO
    expected = Expected(loss, toy, rows_of_data(loss, toy))
    theta = _theta(log_softmax(toy.sampler + toy.rewards), toy)
    found = [expected.coefficients(theta, y) for y in loss.view.responses]
    gap = float(np.abs(found[0] + found[1]).max())
    says = "the coefficients of a pair cancel" if cancel else "the coefficients of a pair do not cancel"
    yield Claim("gauge", says, "", gap, (gap < 1e-9) == cancel)


def first_step(loss: Loss, toy: Toy) -> Iterator[Claim]:
    """Look at the coefficients where the policy is the reference."""
    if not loss.view.pair or not all(Logp(POLICY, y) in set(walk(loss.root)) for y in loss.view.responses):
        return
    expected = Expected(loss, toy, rows_of_data(loss, toy))
    w, l = (expected.coefficients(_theta(toy.reference, toy), y) for y in loss.view.responses)
    right = bool(w.max() <= 0 and l.min() >= 0 and np.all(np.abs(w) + np.abs(l) > 0))
    found = f"∂ℓ/∂log π: chosen {w.min():.3g} to {w.max():.3g}, rejected {l.min():.3g} to {l.max():.3g}"
    yield Claim(
        "first step", "raises the chosen response, lowers the rejected response", found, None, right or None
    )


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


def _partition(spec: Loaded, loss: Loss, toy: Toy) -> Iterator[Claim]:
    """Tell what the constant ½ does to self-play's update: the best response's share, and with the exact log Z."""
    terms = spec.job.objective.terms
    target = terms[0].target if len(terms) == 1 and isinstance(terms[0], Pointwise) else None
    if not isinstance(target, WinRateTarget) or target.outcome != "column":
        return
    own = replace(toy, sampler=toy.reference)
    said = stated(terms, own)
    exact = log_softmax(toy.reference + target.eta * win_rates(own))
    best = int(np.argmax(exact))
    if said.policy is not None and not isinstance(target.baseline, str):
        found = f"π(best) = {np.exp(said.policy[best]):.4f}, with log Z {np.exp(exact[best]):.4f}"
        says = f"the constant {target.baseline:g} for log Z tilts the update"
        yield Claim("partition", says, found, float(np.abs(np.exp(said.policy) - np.exp(exact)).max()), None)


def _anchored(loss: Loss, toy: Toy) -> Toy:
    """Take the sampler for the reference where the score is relative to it."""
    only = ROLLOUT in loss.models and INITIAL not in loss.models
    return replace(toy, reference=toy.sampler) if only else toy


def _search(loss: Loss, toy: Toy, said: Stated, noise: str = "noisy") -> Fixed:
    expected = Expected(loss, toy, rows_of_data(loss, toy, noise=noise, flips=said.flips))
    start = _anchored(loss, toy).reference
    far = FAR if said.policy is None else FAR + 3 * float(np.ptp(said.policy - start))
    theta = _theta(start, toy)
    if expected.logits_alone:
        return fixed_point(lambda x: expected.gradient(x)[: toy.size], theta[: toy.size], toy.size, far=far)
    return fixed_point(expected.gradient, theta, toy.size, far=far)


def _optimum(spec: Loaded, loss: Loss, toy: Toy, law: str) -> Claim:
    said = stated(spec.job.objective.terms, _anchored(loss, toy))
    ended = _search(loss, toy, said)
    policy = log_softmax(ended.theta[: toy.size])
    shown = _shown(policy) if ended.found else f"none: π goes to {_shown(policy)}"
    labels = ", Bradley-Terry labels" if loss.view.convert == "best_worst" else ""
    about = f"optimum, {law}{labels}"
    if said.exists is False:
        return Claim(about, said.words, shown, None, not ended.found)
    if said.policy is None:
        return Claim(about, said.words, shown, None, None)
    gap = float(np.abs(np.exp(policy) - np.exp(said.policy)).max())
    return Claim(about, said.words, shown, gap, ended.found and gap < CLOSE)


def _shown(policy: Array) -> str:
    return "[" + " ".join(f"{p:.4f}" for p in np.exp(policy)) + "]"


def _unanchored(loss: Loss, toy: Toy) -> Claim:
    """Move the reference: without an anchor nothing follows."""
    other = replace(toy, reference=toy.sampler)
    theta = _theta(log_softmax(toy.rewards), toy)
    rows = rows_of_data(loss, toy)
    gap = float(
        np.abs(Expected(loss, toy, rows).gradient(theta) - Expected(loss, other, rows).gradient(theta)).max()
    )
    says = "the loss has no reference, so its optimum depends on none"
    return Claim("reference", says, "another reference gives the same gradient", gap, gap == 0)


def _certain(spec: Loaded, loss: Loss, toy: Toy) -> Iterator[Claim]:
    """Let the better response always win."""
    terms = spec.job.objective.terms
    labelled = loss.view.pair and loss.view.convert != "demonstration"
    if len(terms) != 1 or not isinstance(terms[0], Preference) or not labelled:
        return
    link = terms[0].link
    row = LINKS[link.kind]
    never = endless(link) and not row.debiased
    if terms[0].score.of == SCALAR_HEAD or not (never or row.regression):
        return
    ended = _search(loss, toy, Stated("", None), "certain")
    says = "no finite optimum: the margin grows without bound" if never else "a finite optimum"
    shown = _shown(log_softmax(ended.theta[: toy.size]))
    yield Claim("optimum, certain labels", says, shown, None, ended.found != never)


def _contrast(spec: Loaded) -> Preference | None:
    """Find a squared contrast of rewards: CoPG, REBEL and kin."""
    terms = spec.job.objective.terms
    term = terms[0] if len(terms) == 1 else None
    if isinstance(term, Preference) and LINKS[term.link.kind].regression:
        plain = isinstance(term.margin, RewardGapMargin) and term.score.of == LOG_RATIO
        return term if plain and term.score.reduce == "sum" and term.score.beta > 0 else None
    return None


def _policy_gradient(spec: Loaded, loss: Loss, toy: Toy) -> Iterator[Claim]:
    """On its own samples a squared contrast descends −J, J = E[R] − β·KL(π‖anchor)."""
    term = _contrast(spec)
    if term is None or ROLLOUT in loss.models or not isinstance(term.margin, RewardGapMargin):
        return
    found, wanted = [], []
    for seed in range(3):
        policy = log_softmax(np.random.default_rng(seed).normal(size=toy.size))
        own = replace(toy, sampler=policy)
        found.append(Expected(loss, own, rows_of_data(loss, own)).gradient(_theta(policy, toy))[: toy.size])
        worth = term.margin.scale * toy.rewards - term.score.beta * (policy - toy.reference)
        wanted.append(-np.exp(policy) * (worth - np.exp(policy) @ worth))
    times = multiple(found, wanted)
    gap = (
        None if times is None else float(np.abs(np.concatenate(found) - times * np.concatenate(wanted)).max())
    )
    shown = "not a multiple" if times is None else f"{times:.6g} times"
    yield Claim(
        "gradient, own samples", "a multiple of −∇(E[R] − β·KL(π‖ref))", shown, gap, times is not None
    )


def _wrong_baseline(spec: Loaded, toy: Toy) -> Iterator[Claim]:
    """Put a constant in the place of the other sample's baseline: CoPG's bandit."""
    if (wrong := _constant_baseline(spec)) is None:
        return
    loss = lower(wrong.lookup)
    right = stated(spec.job.objective.terms, _anchored(loss, toy)).policy
    ended = _search(loss, toy, Stated("", right))
    assert right is not None
    gap = float(np.abs(np.exp(log_softmax(ended.theta[: toy.size])) - np.exp(right)).max())
    says = "with baseline 0 instead of the other sample's, off-policy training ends elsewhere"
    shown = _shown(log_softmax(ended.theta[: toy.size]))
    yield Claim("wrong baseline", says, shown, gap, gap > 1e-3)


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
    said = stated(spec.job.objective.terms, _anchored(loss, toy))
    goal = said.policy if said.policy is not None else _anchored(loss, toy).reference
    words = "distance to the optimum" if said.policy is not None else "distance from the reference"
    runs = (
        [("own", loss)]
        if (wrong := _constant_baseline(spec)) is None
        else [("own", loss), ("0", lower(wrong.lookup))]
    )
    for name, each in runs:
        expected = Expected(each, toy, rows_of_data(each, toy, flips=said.flips))
        start = _theta(_anchored(loss, toy).reference, toy)
        steep = float(np.abs(np.linalg.eigvals(jacobian(expected.gradient, start))).max())
        way = flow(expected.gradient, start, rate=0.5 / max(steep, 1e-9), steps=steps)
        away = [float(np.abs(np.exp(log_softmax(t[: toy.size])) - np.exp(goal)).max()) for t in way]
        yield Curve(words if name == "own" else f"{words}, baseline 0", tuple(away))
