"""What kind of pull an expected gradient is: found from numbers alone, knowing nothing of the estimator."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from alignc.spec.kl import FULL, K2
from alignc.theory.kinds import Kind, Placement
from alignc.theory.soundness import CODES, Sampling
from alignc.verify.estimators import (
    divergence_gradient,
    placement_gradient,
    token_gradient,
    tree_kl_gradient,
)
from alignc.verify.toy import Array, Toy, log_softmax

__all__ = ["multiple", "observed_codes", "observed_kind"]

Gradient = Callable[[Array], Array]
NAMED = {Kind.KL: "kl", Kind.REVERSE: "reverse", Kind.VARIATION: "variation"}
EXACT = 1e-8


def policies(seed: int, size: int, count: int = 6, spread: float = 1.0) -> Iterator[Array]:
    """Draw logits."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        yield random.normal(0, spread, size)


def multiple(found: list[Array], named: list[Array]) -> float | None:
    """Find c > 0 with found = c·named everywhere; None where there is none."""
    top, base = np.concatenate(found), np.concatenate(named)
    c = float(top @ base / max(1e-300, float(base @ base)))
    left, size = float(np.abs(top - c * base).max()), float(np.abs(c * base).max())
    return c if c > 0 and left < EXACT * size else None


def observed_kind(gradient: Gradient, toy: Toy) -> Kind:
    """Tell what a gradient on the policy's own samples does, from its values at random policies."""
    places = list(policies(1, toy.size))
    found = [gradient(p) for p in places]
    if max(float(np.abs(g).max()) for g in found) < EXACT:
        return Kind.NULL
    for kind, name in NAMED.items():
        if multiple(found, [divergence_gradient(name, p, toy.reference) for p in places]):
            return kind
    if _never_falls(gradient, toy):
        return Kind.CONVEX
    return _at_the_reference(gradient, toy)


def _never_falls(gradient: Gradient, toy: Toy) -> bool:
    """Read g off the gradient, π·(g − ḡ), and compare responses: the likelier than under ref, the larger g."""
    wide = [*policies(2, toy.size, 10, 0.3), *policies(2, toy.size, 15), *policies(3, toy.size, 25, 4.0)]
    for place in wide:
        policy = np.exp(log_softmax(place))
        g, u = gradient(place) / policy, np.log(policy) - toy.reference
        order = np.argsort(u)
        if np.any(np.diff(g[order]) < -1e-6 * (1 + np.abs(g).max())):
            return False
    return True


def _at_the_reference(gradient: Gradient, toy: Toy) -> Kind:
    """Look at the force a small step away from the reference, on both sides."""
    pulls = [_pull(gradient, toy, d, t) for d in policies(4, toy.size) for t in (1e-3, -1e-3)]
    if min(pulls) > 0.05:
        return Kind.NONCONVEX
    if min(pulls) < -0.05 and max(pulls) > 0.05:
        return Kind.KINK
    return Kind.COLLAPSE if _drops(gradient, toy) else Kind.SADDLE


def _pull(gradient: Gradient, toy: Toy, direction: Array, t: float) -> float:
    """Compare the force along a direction with that of KL(π‖ref)."""
    place = toy.reference + t * direction
    kl = divergence_gradient("kl", place, toy.reference)
    return float(gradient(place) @ direction / (kl @ direction))


def _drops(gradient: Gradient, toy: Toy) -> bool:
    """Tell whether a response that is nearly dropped is still pushed down, and no less than before."""
    pushes = []
    for depth in (25.0, 35.0):
        place = toy.reference.copy()
        place[0] -= depth
        pushes.append(float(gradient(place)[0]))
    return min(pushes) > 1e-6


def observed_codes(
    estimator: str, placement: Placement, granularity: str, sampling: Sampling, toy: Toy
) -> tuple[str, ...]:
    """List the codes that an estimator at a place deserves by what is found, not by what it is."""
    if estimator == FULL.name:
        return _full(placement)

    def gradient(logits: Array) -> Array:
        return placement_gradient(estimator, placement, sampling, logits, toy)

    if sampling == "given" and placement == "reward":
        own = [placement_gradient(estimator, placement, "policy", p, toy) for p in policies(1, toy.size)]
        biased = any(
            np.abs(gradient(p) - g).max() > EXACT for p, g in zip(policies(1, toy.size), own, strict=True)
        )
        return ("E301",) if biased else ()
    if sampling == "given" and placement == "loss":
        return _given(gradient, toy)
    kind = observed_kind(gradient, toy)
    codes = [CODES[kind]] if kind in CODES else []
    useful = kind in (Kind.KL, Kind.REVERSE, Kind.VARIATION, Kind.CONVEX, Kind.NONCONVEX)
    if granularity == "token" and useful and not _as_a_whole(estimator, placement, sampling):
        codes.append("W209")
    return tuple(codes)


def _given(gradient: Gradient, toy: Toy) -> tuple[str, ...]:
    if max(float(np.abs(gradient(p)).max()) for p in policies(1, toy.size)) < EXACT:
        return ("E201",)
    around = [gradient(toy.reference + side * d) for d in policies(4, toy.size) for side in (1e-8, -1e-8)]
    if float(np.abs(np.mean(around, axis=0)).max()) > 1e-6:
        return ("E202",)
    forces = [
        t * float(gradient(toy.reference + t * d) @ d) for d in policies(4, toy.size) for t in (1e-2, -1e-2)
    ]
    return () if min(forces) > 0 else ("E203",)


def _as_a_whole(estimator: str, placement: Placement, sampling: Sampling) -> bool:
    """Tell whether token by token gives, on two tokens, a multiple of what the whole response gives."""
    random = np.random.default_rng(5)
    tokens, whole = [], []
    for _ in range(4):
        logits, reference, other = random.normal(size=(3, 6))
        sampler = other if sampling == "weighted" else None
        tokens.append(token_gradient(estimator, placement, "token", logits, reference, sampler))
        whole.append(token_gradient(estimator, placement, "sequence", logits, reference, sampler))
    return multiple(tokens, whole) is not None


def _full(placement: Placement) -> tuple[str, ...]:
    random = np.random.default_rng(6)
    logits, reference = random.normal(size=(2, 6))
    found = token_gradient(FULL.name, placement, "token", logits, reference)
    steps = token_gradient(K2.name, "loss", "token", logits, reference)
    misses = np.abs(found - tree_kl_gradient(logits, reference)).max() > EXACT
    return (*(("W209",) if np.abs(found - steps).max() < EXACT else ()), *(("W211",) if misses else ()))
