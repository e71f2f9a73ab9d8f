"""The claim about a policy gradient: the divergence that it lowers beside the ascent of the reward, and the factors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from alignc.contract.baselines import BASELINES, Reads
from alignc.load.load import Loaded
from alignc.lower.loss import Loss, TermLoss
from alignc.spec.aggregations import AGGREGATIONS, Divides
from alignc.spec.kl import FULL, KLPlacement
from alignc.spec.objective import PolicyGradient
from alignc.spec.policy import GroupMean
from alignc.theory.divergence import meaning
from alignc.theory.kinds import Kind
from alignc.theory.lengths import length_power, strong, varies, whole_ratio
from alignc.theory.soundness import stepwise
from alignc.verify.response_space import BANDIT, TOKENS, Policy, ResponseSpace
from alignc.verify.surrogate import Groups, Surrogate, win_rates_of
from alignc.verify.toy import Array

__all__ = [
    "NAMED",
    "NOTHING",
    "Setting",
    "angle",
    "claimed_divergence",
    "factors",
    "no_objective",
    "settings",
]

MOST = 3
"""Responses of the largest group that is enumerated."""
NOTHING = "no divergence"
NAMED = {Kind.KL: "KL(π‖ref)", Kind.REVERSE: "KL(ref‖π)", Kind.VARIATION: "Σ|π − ref|"}


def angle(first: Array, second: Array) -> float:
    """Measure the angle between two gradients, in degrees."""
    sizes = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.degrees(np.arccos(np.clip(first @ second / max(sizes, 1e-300), -1, 1))))


@dataclass(frozen=True)
class Setting:
    """A policy gradient of a spec, its lowered loss, the words it is tried on, and responses a group."""

    term: PolicyGradient
    lowered: TermLoss
    space: ResponseSpace
    size: int
    longest: int | None
    asked: int = MOST
    """Responses of a group, as the spec says."""

    def surrogate(self, critic: float = 0.0) -> Surrogate:
        """Make the compiled loss, with a critic that is exact but for `critic`."""
        return Surrogate(self.lowered, Groups(self.space, self.size), critic=critic)

    def worth(self, old: Policy) -> list[float]:
        """Give what every response earns while the sampler stands still."""
        rewards = self.space.rewards
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
            reads = BASELINES[term.baseline.kind].reads
            several = term.whiten or term.discount < 1 or reads is Reads.ROLLOUT
            size = MOST if several else max(1, min(MOST, asked))
            for words in (BANDIT, TOKENS):
                yield Setting(term, lowered, words, size, longest, asked)


def claimed_divergence(setting: Setting) -> tuple[str | None, str]:
    """Say which divergence is descended beside the reward's ascent, or None and why no objective is ascended."""
    if why := no_objective(setting):
        return None, why
    kl = setting.kl
    if kl is None:
        return NOTHING, ""
    found = meaning(kl.estimator, kl.placement)
    name = NOTHING if _absent(found.kind, setting) else NAMED.get(found.kind, found.divergence)
    if kl.estimator == FULL.name and setting.space.longest > 1:
        return (found.divergence if kl.placement == "reward" else f"stepwise {name}"), ""
    if kl.granularity == "token" and setting.space.longest > 1 and name != NOTHING:
        if kl.placement == "reward":
            return (name if found.kind == Kind.KL else f"paid by token, {name}"), ""
        return (f"stepwise {name}" if stepwise(found, kl.placement) or not found.sound else name), ""
    return name, ""


def _absent(kind: Kind, setting: Setting) -> bool:
    """Tell whether no divergence is descended: never, or on one action, which nothing follows."""
    return kind == Kind.NULL or (kind == Kind.PARTIAL and setting.space.longest == 1)


def no_objective(setting: Setting) -> str:
    """Say why no objective is ascended; empty where one is."""
    term, several = setting.term, setting.space.longest > 1
    if isinstance(term.baseline, GroupMean) and term.baseline.std:
        return "advantages are divided by the deviation of the group: each prompt of many responses has its own factor"
    if term.whiten:
        return (
            "advantages are divided by the deviation of the rollout: with many responses, this is one factor"
        )
    if not several:
        return ""
    if (power := length_power(term)) != 0:
        less = "less" if power < 0 else "more"
        return f"a response of n tokens counts n^{power} times: longer responses count {less}".replace(
            "-", "−"
        )
    if whole_ratio(term) and varies(term):
        return "one ratio per response multiplies an advantage per token: each token is charged for all advantages"
    if term.discount < 1:
        return f"γ = {term.discount:g} discounts later rewards"
    return ""


def factors(setting: Setting, policy: Policy) -> tuple[float, float]:
    """Say the factors of ∇E[R] and of the divergence's gradient."""
    term, kl, k = setting.term, setting.kl, setting.size
    shared = _shared(setting, policy)
    own = (k - 1) / k if BASELINES[term.baseline.kind].includes_itself else 1.0
    if kl is None:
        return own * shared, 0.0
    found = meaning(kl.estimator, kl.placement)
    scale = 0.0 if _absent(found.kind, setting) else kl.beta * found.scale
    return own * shared, scale * shared * (own if kl.placement == "reward" else 1.0)


def _shared(setting: Setting, policy: Policy) -> float:
    """Say by how much an aggregation scales the whole gradient."""
    lengths = np.array([len(s) for s in setting.space.sentences], float)
    divides = AGGREGATIONS[setting.term.aggregation].divides
    match divides:
        case Divides.BATCH_TOKENS:
            return 1 / float(policy.law @ lengths)
        case Divides.LONGEST:
            return 1 / setting.longest if setting.longest else 1.0
        case Divides.NOTHING | Divides.OWN_TOKENS:
            return 1.0
        case _:
            assert_never(divides)
