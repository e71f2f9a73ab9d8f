"""Claims about a policy gradient: what its expected gradient ascends, at the first inner step and at later ones.

Everything expected is enumerated: on one action, and on two tokens of which the first may end the response.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from alignc.contract.baselines import BASELINES, Reads
from alignc.graph.build import constant
from alignc.graph.evaluate import evaluate
from alignc.load.load import Loaded
from alignc.lower.estimators import kappa
from alignc.lower.loss import Loss
from alignc.lower.policy import sequential
from alignc.lower.surrogates import SURROGATES
from alignc.spec.aggregations import AGGREGATIONS, Divides
from alignc.spec.kl import FULL, KLPlacement
from alignc.theory.divergence import meaning
from alignc.theory.kinds import Kind
from alignc.verify.groups import group_table, two_values
from alignc.verify.objectives import agreement, differences
from alignc.verify.policy_claims import (
    NOTHING,
    Setting,
    angle,
    claimed_divergence,
    factors,
    no_objective,
    settings,
)
from alignc.verify.policy_optimum import policy_optimum
from alignc.verify.report import Claim, Table, Verdict, judged
from alignc.verify.response_space import Policy
from alignc.verify.toy import Array

__all__ = ["ascends", "divergences", "fitted", "group_tables", "policy_gradients"]

EXACT = 1e-8


def policy_gradients(spec: Loaded, loss: Loss) -> Iterator[Claim]:
    """Test what every policy gradient of a spec ascends; nothing for other objectives."""
    for setting in settings(spec, loss):
        yield _derived(setting)
        yield _first_step(setting)
        yield from two_values(setting)
        yield from _critics(setting)
        yield _later_steps(setting)
        yield from policy_optimum(setting)


def group_tables(spec: Loaded, loss: Loss) -> list[Table]:
    """Tabulate, for every policy gradient whose advantages are divided, the angle to ∇E[R] over the group's size."""
    found = [t for s in settings(spec, loss) if s.space.longest == 1 for t in group_table(s)]
    return list(dict.fromkeys(found))


# ---- what is compared with what -------------------------------------------------------------------------------


def divergences(kl: KLPlacement | None, policy: Policy, base: Policy) -> dict[str, Array]:
    """Compute the gradient of every divergence that an estimator may mean: of whole responses, and step by step."""
    u = policy.ratios(base)
    slopes: dict[str, Callable[[float], float]] = {
        "KL(π‖ref)": lambda x: x,
        "KL(ref‖π)": lambda x: -float(np.exp(-x)),
        "Σ|π − ref|": lambda x: float(np.sign(x)),
    }
    found = {name: policy.slope([g(x) for x in u]) for name, g in slopes.items()}
    found |= {f"stepwise {name}": policy.steps(g, base) for name, g in slopes.items()}
    if kl is None:
        return found
    if kl.estimator == FULL.name:
        later = found["KL(π‖ref)"] - found["stepwise KL(π‖ref)"]
        return found | {meaning(FULL.name, "reward").divergence: later}
    own = _coefficient(kl)
    name = meaning(kl.estimator, kl.placement).divergence
    found.setdefault(name, policy.slope([own(x) for x in u]))
    found.setdefault(f"stepwise {name}", policy.steps(own, base))
    if kl.placement == "reward":
        pairs = zip(policy.tokens, base.tokens, strict=True)
        sums = [sum(own(l - r) for l, r in zip(*p, strict=True)) for p in pairs]
        found.setdefault(f"paid by token, {name}", policy.slope(sums))
    return found


def _coefficient(kl: KLPlacement) -> Callable[[float], float]:
    """Give g: κ in the reward, κ′ in the loss, κ + κ′ under a differentiated ratio; κ′ by differences."""

    def value(x: float) -> float:
        return float(evaluate(kappa(kl.estimator, constant(x)), {}))

    def slope(x: float, h: float = 1e-4) -> float:
        outer, inner = value(x + 2 * h) - value(x - 2 * h), value(x + h) - value(x - h)
        return (8 * inner - outer) / (12 * h)

    if kl.placement == "reward":
        return value
    return slope if kl.placement == "loss" else lambda x: value(x) + slope(x)


def fitted(found: Array, basis: list[Array]) -> tuple[Array, float]:
    """Write a gradient as a sum of others: the factors, and what is left in the size of the gradient."""
    columns = np.array(basis).T
    factors, *_ = np.linalg.lstsq(columns, found, rcond=None)
    solved: Array = np.asarray(factors, dtype=np.float64)
    left = float(np.linalg.norm(columns @ factors - found) / max(1e-300, float(np.linalg.norm(found))))
    return solved, left


# ---- the claims -----------------------------------------------------------------------------------------------


def _about(setting: Setting, what: str) -> str:
    return f"{what}, {setting.space.name}, k = {setting.size}"


def _derived(setting: Setting) -> Claim:
    """Compare the derived gradient with differences of the expected surrogate, away from the sampler."""
    surrogate, (policy, old) = setting.surrogate(), setting.space.drawn(2)
    near = setting.space.policy(old.logits + 0.05 * policy.logits)
    found = surrogate.gradient(near, old)
    counted = differences(lambda x: surrogate.value(setting.space.policy(x), old, near), near.logits)
    value = surrogate.value(near, old, near)
    return agreement(_about(setting, "gradient"), [(found, counted, value)])


@dataclass(frozen=True)
class Ascent:
    """What an expected gradient was found to be: factors of ∇E[R] and of a divergence's gradient, by policy."""

    name: str | None
    factors: list[tuple[float, float]]
    left: float
    angle: float


def ascends(setting: Setting, critic: float = 0.0, count: int = 3) -> Ascent:
    """Find what is ascended at the first inner step, where policy and sampler are one, at several policies."""
    surrogate, policies = setting.surrogate(critic), setting.space.drawn(count)
    gradients = [-surrogate.gradient(p, p) for p in policies]
    rewards = [p.slope(setting.worth(p)) for p in policies]
    named = [divergences(setting.kl, p, setting.space.reference) for p in policies]
    turned = max(angle(g, _wanted(setting, p)) for g, p in zip(gradients, policies, strict=True))
    worst = np.inf
    for name in (NOTHING, *named[0]):
        if name != NOTHING and setting.kl is None:
            continue
        bases = [[r] if name == NOTHING else [r, -n[name]] for r, n in zip(rewards, named, strict=True)]
        fits = [fitted(g, b) for g, b in zip(gradients, bases, strict=True)]
        left = max(f[1] for f in fits)
        worst = min(worst, left)
        if left < EXACT:
            return Ascent(
                name, [(float(f[0]), float(f[1]) if len(f) > 1 else 0.0) for f, _ in fits], left, turned
            )
    return Ascent(None, [], float(worst), turned)


def _wanted(setting: Setting, policy: Policy) -> Array:
    """Compute ∇J, J = E[R] − β·KL(π‖ref) of whole responses."""
    beta = setting.kl.beta if setting.kl else 0.0
    wanted: Array = policy.slope(setting.worth(policy)) - beta * policy.divergence(setting.space.reference)
    return wanted


def _first_step(setting: Setting) -> Claim:
    name, why = claimed_divergence(setting)
    seen = ascends(setting)
    about = _about(setting, "first inner step")
    if name is None:
        goal = "∇(E[R] − β·KL)" if setting.kl else "∇E[R]"
        shown = f"{seen.angle:.1f}° from {goal}" if seen.name is None else f"ascends E[R] minus {seen.name}"
        says = f"E[R] minus none of the divergences tried: {why}"
        return Claim(about, says, shown, None, judged(seen.name is None))
    says = "ascends E[R]" + ("" if name == NOTHING else f" − β·{name}")
    if seen.name is None:
        return Claim(about, says, f"{seen.angle:.1f}° from it", seen.left, Verdict.REFUTED)
    told = [factors(setting, p) for p in setting.space.drawn(len(seen.factors))]
    gap = float(np.abs(np.array(told) - np.array(seen.factors)).max())
    return Claim(about, says, _written(seen), max(gap, seen.left), judged(seen.name == name and gap < 1e-7))


def _written(seen: Ascent) -> str:
    a, b = (np.array([f[i] for f in seen.factors]) for i in (0, 1))
    shown = f"{_range(a)}·∇E[R]"
    if seen.name == NOTHING:
        return shown
    return f"{shown} − {_range(b)}·∇{seen.name}: β is {_range(b / a)}"


def _range(values: Array) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:.4g}" if high - low < 1e-9 * max(1.0, abs(high)) else f"({low:.4g} to {high:.4g})"


def _critics(setting: Setting) -> Iterator[Claim]:
    """Let the critic be wrong: with λ = 1 nothing follows, with λ < 1 a bias does."""
    term = setting.term
    if BASELINES[term.baseline.kind].reads is not Reads.CRITIC or setting.space.longest == 1:
        return
    plain = setting.term.model_copy(update={"whiten": False})
    for weight in (1.0, min(term.gae_lambda, 0.95)):
        how = setting.lowered.advantage
        assert how is not None
        lowered = replace(setting.lowered, advantage=replace(how, gae_lambda=weight, whiten=False))
        seen = ascends(replace(setting, term=plain, lowered=lowered), critic=0.5)
        unbiased = weight == 1 and not no_objective(replace(setting, term=plain))
        says = f"wrong critic, λ = {weight:g}, unwhitened advantages: {'no bias' if unbiased else 'a bias'}"
        shown = _written(seen) if seen.name is not None else f"{seen.angle:.1f}° from ∇(E[R] − β·KL)"
        yield Claim(
            _about(setting, "critic"), says, shown, seen.left, judged((seen.name is not None) == unbiased)
        )


def _later_steps(setting: Setting, far: float = 0.3) -> Claim:
    """Move away from the sampler: what the surrogate ascends then."""
    surrogate, (first, second) = setting.surrogate(), setting.space.drawn(2)
    old, policy = first, setting.space.policy(first.logits + far * second.logits)
    found = -surrogate.gradient(policy, old)
    base = setting.space.reference
    beta = setting.kl.beta if setting.kl else 0.0
    basis = [policy.slope(setting.worth(old))]
    frozen = setting.kl is not None and setting.kl.placement == "reward"
    if setting.kl is not None:
        basis.append(-policy.divergence(base))
    if frozen:
        basis.append(policy.divergence(old))
    parts, left = fitted(found, basis)
    about = _about(setting, "later inner steps")
    turned = angle(found, basis[0] + (beta * basis[1] if setting.kl else 0.0))
    if _exact_later(setting):
        a = factors(setting, policy)[0]
        wanted = a * np.array([1.0, beta, beta][: len(basis)])
        gap = float(np.abs(parts - wanted).max())
        says = "ascends E[R] − β·KL(π‖ref)" + (" + β·KL(π‖old): the KL was fixed (W213)" if frozen else "")
        shown = f"factors {' '.join(f'{f:.4g}' for f in parts)}; {turned:.1f}° from ∇(E[R] − β·KL)"
        return Claim(about, says, shown, max(gap, left), judged(max(gap, left) < 1e-7))
    return Claim(about, _later(setting), f"{turned:.1f}° from ∇(E[R] − β·KL) at KL(old‖π) = {_apart(old, policy):.2g}",
                 None, Verdict.TOLD)  # fmt: skip


def _apart(old: Policy, policy: Policy) -> float:
    return float(old.law @ np.array(old.ratios(policy)))


def _exact_later(setting: Setting) -> bool:
    """Tell whether an unclipped ratio of the whole response makes later steps exact; on one action any ratio does."""
    term, kl = setting.term, setting.kl
    whole = term.ratio == "sequence" or setting.space.longest == 1
    row = SURROGATES[term.surrogate.kind]
    if not row.through_ratio or row.bounded or not whole or no_objective(setting):
        return False
    plain = not sequential(term) or setting.space.longest == 1
    held = kl is None or (kl.placement == "reward" and meaning(kl.estimator, "reward").kind == Kind.KL)
    divides = AGGREGATIONS[term.aggregation].divides
    return plain and held and term.reward == "reward" and divides in (Divides.NOTHING, Divides.OWN_TOKENS)


def _later(setting: Setting) -> str:
    term = setting.term
    row = SURROGATES[term.surrogate.kind]
    if not row.reads_ratio:
        return "without a ratio, the gradient is exact only at the sampling policy"
    bound = "; the ratio is bounded" if row.bounded else ""
    states = (
        "; states are weighted as under the sampler"
        if term.ratio == "token" and setting.space.longest > 1
        else ""
    )
    return f"equal to the first step only near the sampling policy{bound}{states}"
