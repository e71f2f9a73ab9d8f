"""What the size of a group does to advantages that are divided by a deviation: a table over k, and a claim.

The deviation of a small group depends on the response that it scales. Of many responses it is one factor, and with
two values of reward it is one factor for every k.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from alignc.spec.policy import GroupMean
from alignc.verify.policy_claims import Setting, angle
from alignc.verify.report import Claim, Table, judged
from alignc.verify.response_space import FEW, FEW_TOKENS, ResponseSpace
from alignc.verify.surrogate import Groups, Surrogate
from alignc.verify.toy import Array

__all__ = ["divided", "group_table", "two_values"]

SIZES, MOST = (2, 3, 4, 8, 16), 64
"""Groups that are enumerated; of more responses there are too many."""
PARALLEL = 1e-5
"""Degrees that count as none."""


def divided(setting: Setting) -> bool:
    """Tell whether advantages are divided by a deviation."""
    baseline = setting.term.baseline
    return setting.term.whiten or (isinstance(baseline, GroupMean) and baseline.std)


def _binary(space: ResponseSpace) -> tuple[float, ...]:
    """Give the better half of the responses the reward 1, and the others 0."""
    middle = float(np.median(space.rewards))
    return tuple(float(r > middle) for r in space.rewards)


def _turned(setting: Setting, space: ResponseSpace, size: int, rewards: tuple[float, ...]) -> float:
    """Measure the angle between what the rewards add to the gradient and ∇E[R], at a policy of the space."""
    policy = space.drawn(1)[0]
    still = (0.0,) * len(rewards)
    found: list[Array] = []
    for each in (rewards, still):
        surrogate = Surrogate(setting.lowered, Groups(space, size), rewards=each)
        found.append(-surrogate.gradient(policy, policy))
        if not in_loss(setting):
            break
    own = found[0] - found[1] if len(found) == 2 else found[0]
    return angle(own, _ascent(setting, space, rewards))


def in_loss(setting: Setting) -> bool:
    """Tell whether a KL is beside the advantage, and not inside it."""
    return setting.kl is not None and setting.kl.placement != "reward"


def _ascent(setting: Setting, space: ResponseSpace, rewards: tuple[float, ...]) -> Array:
    """Compute ∇E[R], less β·∇KL(π‖ref) where the penalty is a part of the reward."""
    policy = space.drawn(1)[0]
    found = policy.slope(list(rewards))
    if setting.kl is not None and not in_loss(setting):
        found = found - setting.kl.beta * policy.divergence(space.reference)
    return found


def _sizes(setting: Setting) -> list[int]:
    most = max(setting.asked, 2)
    return [k for k in SIZES if k < most] + ([most] if most <= MOST else [])


def group_table(setting: Setting) -> Iterator[Table]:
    """Tabulate the angle to ∇E[R] over the size of a group, for rewards of many values and of two."""
    if not divided(setting) or setting.term.reward != "reward":
        return
    rows = []
    for k in _sizes(setting):
        angles = [
            _turned(setting, space, k, rewards)
            for space in (FEW, FEW_TOKENS)
            for rewards in (space.rewards, _binary(space))
        ]
        rows.append((str(k), *(f"{a:.2f}°" for a in angles)))
    if setting.asked > MOST:
        rows.append((str(setting.asked), *["not enumerated"] * 4))
    goal = "∇(E[R] − β·KL)" if setting.kl is not None and not in_loss(setting) else "∇E[R]"
    title = f"angle between what the rewards add and {goal}, over k responses to a prompt"
    head = ("k", *(f"{s.name}, {r}" for s in (FEW, FEW_TOKENS) for r in ("dense", "0/1")))
    yield Table(title, head, tuple(rows))


def two_values(setting: Setting) -> Iterator[Claim]:
    """With two values of reward, on one action, a deviation scales ∇E[R] and turns nothing."""
    inside = setting.kl is not None and not in_loss(setting)
    if not divided(setting) or setting.space.longest > 1 or inside or setting.term.reward != "reward":
        return
    sizes = [k for k in _sizes(setting) if k <= 8]
    worst = max(_turned(setting, FEW, k, _binary(FEW)) for k in sizes)
    says = "with rewards 0 and 1, what the rewards add is ∇E[R] times a factor of the prompt"
    about = f"two values of reward, one action, k = {', '.join(map(str, sizes))}"
    yield Claim(about, says, f"{worst:.1e}°", None, judged(worst < PARALLEL))
