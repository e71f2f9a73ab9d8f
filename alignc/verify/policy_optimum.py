"""Where ascent on a policy's own samples ends: the stated optimum of a policy gradient, on one action."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from alignc.load.load import Loaded
from alignc.lower.loss import Loss
from alignc.theory.kinds import Kind
from alignc.verify.policy_claims import NAMED, Setting, claimed_divergence, factors, settings
from alignc.verify.report import Claim, Curve, judged
from alignc.verify.response_space import Policy
from alignc.verify.solve import Field, flow, jacobian, stable
from alignc.verify.surrogate import Groups, Surrogate
from alignc.verify.toy import Array

__all__ = ["goal", "policy_curves", "policy_optimum"]

EXACT = 1e-8


def goal(setting: Setting) -> tuple[Policy, tuple[float, ...], str] | None:
    """State where ascent on own samples ends on one action: for rewards of a few β, so that no response is lost."""
    name = claimed_divergence(setting)[0]
    words, kl = setting.space, setting.kl
    if words.longest > 1 or kl is None or name not in (NAMED[Kind.KL], NAMED[Kind.REVERSE]):
        return None
    if setting.term.reward != "reward":
        return None
    a, b = factors(setting, words.reference)
    worth, base = np.array(words.rewards), np.log(words.reference.law)
    gibbs = name == NAMED[Kind.KL]
    logits = base + worth if gibbs else base - np.log(_hyperbolic(worth, words.reference.law))
    written = "ref·exp(R/β)/Z" if gibbs else "ref·β/(β + ν − R)"
    return words.policy(logits), tuple(float(r) * b / a for r in worth), written


def _hyperbolic(worth: Array, law: Array) -> Array:
    """Solve Σ ref/(1 + ν − R) = 1 for ν, and give 1 + ν − R."""
    low, high = float(worth.max()) - 1 + 1e-12, float(worth.max()) + 1e3
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if float((law / (1 + middle - worth)).sum()) > 1 else (low, middle)
    found: Array = 1 + (low + high) / 2 - worth
    return found


def _own(setting: Setting, rewards: tuple[float, ...]) -> Callable[[Array], Array]:
    """Make the expected gradient on the policy's own samples a function of its logits."""
    surrogate = Surrogate(setting.lowered, Groups(setting.space, setting.size), rewards=rewards)

    def found(logits: Array) -> Array:
        policy = setting.space.policy(logits)
        return surrogate.gradient(policy, policy)

    return found


def policy_optimum(setting: Setting) -> Iterator[Claim]:
    """Check that ascent rests at the stated policy, and comes back to it from every side."""
    if (stated := goal(setting)) is None:
        return
    policy, rewards, words = stated
    gradient = _own(setting, rewards)
    size = float(np.abs(gradient(setting.space.reference.logits)).max())
    gap = float(np.abs(gradient(policy.logits)).max()) / size
    shown = "[" + " ".join(f"{p:.4f}" for p in policy.law) + "]"
    holds = gap < EXACT and stable(Field(gradient, len(policy.logits)), policy.logits)
    yield Claim("optimum, one action, own samples", words, shown, gap, judged(holds))


def policy_curves(spec: Loaded, loss: Loss, steps: int = 80) -> Iterator[Curve]:
    """Follow the gradient on own samples from the reference: the distance to the stated optimum, on one action."""
    for setting in settings(spec, loss):
        if (stated := goal(setting)) is None:
            continue
        policy, rewards, words = stated
        gradient, start = _own(setting, rewards), setting.space.reference.logits
        steep = float(np.abs(np.linalg.eigvals(jacobian(gradient, start))).max())
        way = flow(gradient, start, rate=0.5 / max(steep, 1e-9), steps=steps)
        away = [float(np.abs(setting.space.policy(x).law - policy.law).max()) for x in way]
        yield Curve(f"distance to {words}", tuple(away))
