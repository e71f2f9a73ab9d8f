"""Claims about a policy gradient: what its expected gradient ascends, at the first inner step and at later ones.

Everything expected is enumerated: on one action, and on two tokens of which the first may end the response.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from alignc.graph.build import constant
from alignc.graph.divergence import Kind, meaning
from alignc.graph.evaluate import evaluate
from alignc.graph.kl import kappa
from alignc.graph.lengths import length_power, strong, varies, whole_ratio
from alignc.graph.loss import Loss, TermLoss
from alignc.graph.policy import sequential
from alignc.graph.soundness import stepwise
from alignc.spec.kl import KLPlacement
from alignc.spec.load import Loaded
from alignc.spec.objective import PolicyGradient
from alignc.spec.policy import BatchMean, GroupMean, Importance, Reinforce, ValueBaseline
from alignc.verify.report import Claim, Curve
from alignc.verify.solve import flow, jacobian, stable
from alignc.verify.surrogate import Groups, Surrogate, win_rates_of
from alignc.verify.toy import Array, central_differences
from alignc.verify.words import BANDIT, TOKENS, Policy, Words

__all__ = [
    "Setting",
    "angle",
    "ascends",
    "divergences",
    "fitted",
    "policy_curves",
    "policy_gradients",
    "said",
]

MOST = 3
"""Responses of the largest group that is enumerated."""
EXACT = 1e-8
NOTHING = "no divergence"
NAMED = {Kind.KL: "KL(π‖ref)", Kind.REVERSE: "KL(ref‖π)", Kind.VARIATION: "Σ|π − ref|"}


@dataclass(frozen=True)
class Setting:
    """A policy gradient of a spec, its lowered loss, the words it is tried on, and responses a group."""

    term: PolicyGradient
    lowered: TermLoss
    words: Words
    size: int
    longest: int | None

    def surrogate(self, critic: float = 0.0) -> Surrogate:
        """Make the compiled loss, with a critic that is exact but for `critic`."""
        return Surrogate(self.lowered, Groups(self.words, self.size), critic=critic)

    def worth(self, old: Policy) -> list[float]:
        """Give what every response earns while the sampler stands still."""
        rewards = self.words.rewards
        return list(rewards) if self.term.reward == "reward" else win_rates_of(old, rewards)

    @property
    def kl(self) -> KLPlacement | None:
        """The KL, where it has any strength."""
        return strong(self.term)


def settings(spec: Loaded, loss: Loss) -> Iterator[Setting]:
    """List the policy gradients of a spec on one action and on two tokens."""
    asked = getattr(spec.job.data, "completions_per_prompt", None) or MOST
    longest = getattr(spec.job.data, "max_new_tokens", None)
    for term, lowered in zip(spec.job.objective.terms, loss.terms, strict=True):
        if isinstance(term, PolicyGradient):
            several = term.whiten or term.discount < 1 or isinstance(term.baseline, BatchMean)
            size = MOST if several else max(1, min(MOST, asked))
            for words in (BANDIT, TOKENS):
                yield Setting(term, lowered, words, size, longest)


def policy_gradients(spec: Loaded, loss: Loss) -> Iterator[Claim]:
    """Test what every policy gradient of a spec ascends; nothing for other objectives."""
    for setting in settings(spec, loss):
        yield _derived(setting)
        yield _first_step(setting)
        yield from _critics(setting)
        yield _later_steps(setting)
        yield from _optimum(setting)


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


def angle(first: Array, second: Array) -> float:
    """Measure the angle between two gradients, in degrees."""
    sizes = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.degrees(np.arccos(np.clip(first @ second / max(sizes, 1e-300), -1, 1))))


# ---- what is said ---------------------------------------------------------------------------------------------


def said(setting: Setting) -> tuple[str | None, str]:
    """Say which divergence is descended beside the reward's ascent, or None and why no objective is ascended."""
    if why := _no_objective(setting):
        return None, why
    kl = setting.kl
    if kl is None:
        return NOTHING, ""
    found = meaning(kl.estimator, kl.placement)
    name = NOTHING if found.kind == Kind.NULL else NAMED.get(found.kind, found.divergence)
    if kl.granularity == "token" and setting.words.longest > 1 and name != NOTHING:
        if kl.placement == "reward":
            return (name if found.kind == Kind.KL else f"paid by token, {name}"), ""
        return (f"stepwise {name}" if stepwise(found, kl.placement) or not found.sound else name), ""
    return name, ""


def _no_objective(setting: Setting) -> str:
    term, several = setting.term, setting.words.longest > 1
    if isinstance(term.baseline, GroupMean) and term.baseline.std:
        return "advantages divided by the group's spread: a factor of each prompt's own at best, of many responses"
    if term.whiten:
        return "advantages divided by the rollout's spread: one factor at best, of many responses"
    if not several:
        return ""
    if (power := length_power(term)) != 0:
        less = "less" if power < 0 else "more"
        return f"a response of n tokens counts n^{power} times: longer ones {less}".replace("-", "−")
    if whole_ratio(term) and varies(term):
        return "one ratio a response, with an advantage a token: each token answers for all of them"
    if term.discount < 1:
        return f"γ = {term.discount:g} forgets what comes later"
    return ""


def _factors(setting: Setting, policy: Policy) -> tuple[float, float]:
    """Say the factors of ∇E[R] and of the divergence's gradient."""
    term, kl, k = setting.term, setting.kl, setting.size
    shared = 1.0
    lengths = np.array([len(s) for s in setting.words.sentences], float)
    if term.aggregation == "global_token_mean":
        shared = 1 / float(policy.law @ lengths)
    if term.aggregation == "fixed_length" and setting.longest:
        shared = 1 / setting.longest
    own = (k - 1) / k if isinstance(term.baseline, GroupMean | BatchMean) else 1.0
    if kl is None:
        return own * shared, 0.0
    found = meaning(kl.estimator, kl.placement)
    scale = 0.0 if found.kind == Kind.NULL else kl.beta * found.scale
    return own * shared, scale * shared * (own if kl.placement == "reward" else 1.0)


# ---- the claims -----------------------------------------------------------------------------------------------


def _about(setting: Setting, what: str) -> str:
    return f"{what}, {setting.words.name}, k = {setting.size}"


def _derived(setting: Setting) -> Claim:
    """Compare the derived gradient with differences of the expected surrogate, away from the sampler."""
    surrogate, (policy, old) = setting.surrogate(), setting.words.drawn(2)
    near = setting.words.policy(old.logits + 0.05 * policy.logits)
    found = surrogate.gradient(near, old)
    counted = central_differences(
        lambda x: surrogate.value(setting.words.policy(x), old, near), near.logits, 1e-6
    )
    gap = float(np.abs(found - counted).max() / (1 + np.abs(found).max()))
    return Claim(
        _about(setting, "gradient"), "derived = differences of the expected loss", "", gap, gap < 1e-6
    )


@dataclass(frozen=True)
class Ascent:
    """What an expected gradient was found to be: factors of ∇E[R] and of a divergence's gradient, by policy."""

    name: str | None
    factors: list[tuple[float, float]]
    left: float
    angle: float


def ascends(setting: Setting, critic: float = 0.0, count: int = 3) -> Ascent:
    """Find what is ascended at the first inner step, where policy and sampler are one, at several policies."""
    surrogate, policies = setting.surrogate(critic), setting.words.drawn(count)
    gradients = [-surrogate.gradient(p, p) for p in policies]
    rewards = [p.slope(setting.worth(p)) for p in policies]
    named = [divergences(setting.kl, p, setting.words.reference) for p in policies]
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
    wanted: Array = policy.slope(setting.worth(policy)) - beta * policy.divergence(setting.words.reference)
    return wanted


def _first_step(setting: Setting) -> Claim:
    name, why = said(setting)
    seen = ascends(setting)
    about = _about(setting, "first inner step")
    if name is None:
        shown = (
            f"{seen.angle:.1f}° from ∇(E[R] − β·KL)"
            if seen.name is None
            else f"ascends E[R] less {seen.name}"
        )
        return Claim(about, f"no objective's gradient: {why}", shown, None, seen.name is None)
    says = "ascends E[R]" + ("" if name == NOTHING else f" − β·{name}")
    if seen.name is None:
        return Claim(about, says, f"{seen.angle:.1f}° from it", seen.left, False)
    told = [_factors(setting, p) for p in setting.words.drawn(len(seen.factors))]
    gap = float(np.abs(np.array(told) - np.array(seen.factors)).max())
    return Claim(about, says, _written(seen), max(gap, seen.left), seen.name == name and gap < 1e-7)


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
    if not isinstance(term.baseline, ValueBaseline) or setting.words.longest == 1:
        return
    plain = setting.term.model_copy(update={"whiten": False})
    for weight in (1.0, min(term.gae_lambda, 0.95)):
        how = setting.lowered.advantage
        assert how is not None
        lowered = replace(setting.lowered, advantage=replace(how, gae_lambda=weight, whiten=False))
        seen = ascends(replace(setting, term=plain, lowered=lowered), critic=0.5)
        unbiased = weight == 1 and not _no_objective(replace(setting, term=plain))
        says = (
            f"a wrong critic, λ = {weight:g}, advantages as they are: {'no bias' if unbiased else 'biased'}"
        )
        shown = _written(seen) if seen.name is not None else f"{seen.angle:.1f}° from ∇(E[R] − β·KL)"
        yield Claim(_about(setting, "critic"), says, shown, seen.left, (seen.name is not None) == unbiased)


def _later_steps(setting: Setting, far: float = 0.3) -> Claim:
    """Move away from the sampler: what the surrogate ascends then."""
    surrogate, (first, second) = setting.surrogate(), setting.words.drawn(2)
    old, policy = first, setting.words.policy(first.logits + far * second.logits)
    found = -surrogate.gradient(policy, old)
    base = setting.words.reference
    beta = setting.kl.beta if setting.kl else 0.0
    basis = [policy.slope(setting.worth(old))]
    frozen = setting.kl is not None and setting.kl.placement == "reward"
    if setting.kl is not None:
        basis.append(-policy.divergence(base))
    if frozen:
        basis.append(policy.divergence(old))
    factors, left = fitted(found, basis)
    about = _about(setting, "later inner steps")
    turned = angle(found, basis[0] + (beta * basis[1] if setting.kl else 0.0))
    if _exact_later(setting):
        a = _factors(setting, policy)[0]
        wanted = a * np.array([1.0, beta, beta][: len(basis)])
        gap = float(np.abs(factors - wanted).max())
        says = "ascends E[R] − β·KL(π‖ref)" + (" + β·KL(π‖old): the KL stood still (W213)" if frozen else "")
        shown = f"factors {' '.join(f'{f:.4g}' for f in factors)}; {turned:.1f}° from ∇(E[R] − β·KL)"
        return Claim(about, says, shown, max(gap, left), max(gap, left) < 1e-7)
    return Claim(about, _later(setting), f"{turned:.1f}° from ∇(E[R] − β·KL) at KL(old‖π) = {_apart(old, policy):.2g}",
                 None, None)  # fmt: skip


def _apart(old: Policy, policy: Policy) -> float:
    return float(old.law @ np.array(old.ratios(policy)))


def _exact_later(setting: Setting) -> bool:
    """Tell whether an unclipped ratio of the whole response makes later steps exact; on one action any ratio does."""
    term, kl = setting.term, setting.kl
    whole = term.ratio == "sequence" or setting.words.longest == 1
    if not isinstance(term.surrogate, Importance) or not whole or _no_objective(setting):
        return False
    plain = not sequential(term) or setting.words.longest == 1
    held = kl is None or (kl.placement == "reward" and meaning(kl.estimator, "reward").kind == Kind.KL)
    return plain and held and term.reward == "reward" and term.aggregation in ("sequence_mean", "token_mean")


def _later(setting: Setting) -> str:
    term = setting.term
    if isinstance(term.surrogate, Reinforce):
        return "no ratio: right on the sampler's own policy alone"
    bound = "" if isinstance(term.surrogate, Importance) else "; the ratio is bounded"
    states = (
        "; states as the sampler reached them" if term.ratio == "token" and setting.words.longest > 1 else ""
    )
    return f"as the first step, near the sampler alone{bound}{states}"


# ---- where it ends --------------------------------------------------------------------------------------------


def _goal(setting: Setting) -> tuple[Policy, tuple[float, ...], str] | None:
    """State where ascent on own samples ends on one action: for rewards of a few β, so that no response is lost."""
    name = said(setting)[0]
    words, kl = setting.words, setting.kl
    if words.longest > 1 or kl is None or name not in (NAMED[Kind.KL], NAMED[Kind.REVERSE]):
        return None
    if setting.term.reward != "reward":
        return None
    a, b = _factors(setting, words.reference)
    worth, base = np.array(words.rewards), np.log(words.reference.law)
    gibbs = name == NAMED[Kind.KL]
    logits = base + worth if gibbs else base - np.log(_hyperbolic(worth, words.reference.law))
    stated = "ref·exp(R/β)/Z" if gibbs else "ref·β/(β + λ − R)"
    return words.policy(logits), tuple(float(r) * b / a for r in worth), stated


def _hyperbolic(worth: Array, law: Array) -> Array:
    """Solve Σ ref/(1 + λ − R) = 1 for λ, and give 1 + λ − R."""
    low, high = float(worth.max()) - 1 + 1e-12, float(worth.max()) + 1e3
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if float((law / (1 + middle - worth)).sum()) > 1 else (low, middle)
    found: Array = 1 + (low + high) / 2 - worth
    return found


def _own(setting: Setting, rewards: tuple[float, ...]) -> Callable[[Array], Array]:
    """Make the expected gradient on the policy's own samples a function of its logits."""
    surrogate = Surrogate(setting.lowered, Groups(setting.words, setting.size), rewards=rewards)

    def found(logits: Array) -> Array:
        policy = setting.words.policy(logits)
        return surrogate.gradient(policy, policy)

    return found


def _optimum(setting: Setting) -> Iterator[Claim]:
    """Check that ascent rests at the stated policy, and comes back to it from every side."""
    if (goal := _goal(setting)) is None:
        return
    policy, rewards, words = goal
    gradient = _own(setting, rewards)
    size = float(np.abs(gradient(setting.words.reference.logits)).max())
    gap = float(np.abs(gradient(policy.logits)).max()) / size
    shown = "[" + " ".join(f"{p:.4f}" for p in policy.law) + "]"
    holds = gap < EXACT and stable(gradient, policy.logits)
    yield Claim("optimum, one action, own samples", words, shown, gap, holds)


def policy_curves(spec: Loaded, loss: Loss, steps: int = 80) -> Iterator[Curve]:
    """Follow the gradient on own samples from the reference: the distance to the stated optimum, on one action."""
    for setting in settings(spec, loss):
        if (goal := _goal(setting)) is None:
            continue
        policy, rewards, words = goal
        gradient, start = _own(setting, rewards), setting.words.reference.logits
        steep = float(np.abs(np.linalg.eigvals(jacobian(gradient, start))).max())
        way = flow(gradient, start, rate=0.5 / max(steep, 1e-9), steps=steps)
        away = [float(np.abs(setting.words.policy(x).law - policy.law).max()) for x in way]
        yield Curve(f"distance to {words}", tuple(away))
