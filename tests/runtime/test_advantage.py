"""Advantages against the definitions written out as loops over tokens, and against arithmetic by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from alignc.contract.needs import Advantage, advantage_from
from alignc.runtime.ranks.world import World
from alignc.runtime.rollout.advantage import advantages

Numbers = list[list[list[float]]]

BASELINES: list[dict[str, Any]] = [
    {"kind": "none"},
    {"kind": "constant", "value": 0.7},
    {"kind": "batch_mean"},
    {"kind": "leave_one_out"},
    {"kind": "group_mean", "std": False, "ddof": 1, "epsilon": 1e-4},
    {"kind": "group_mean", "std": True, "ddof": 1, "epsilon": 1e-4},
    {"kind": "group_mean", "std": True, "ddof": 0, "epsilon": 0.01},
    {"kind": "value"},
]


def plan(baseline: dict[str, Any] | str, **changes: Any) -> dict[str, Any]:
    section = {"kind": baseline} if isinstance(baseline, str) else baseline
    return {"baseline": section, "discount": 1.0, "gae_lambda": 1.0, "whiten": False} | changes


def described(settings: dict[str, Any]) -> Advantage:
    found = advantage_from({"reward": "reward", "penalty": True, "granularity": "token", **settings})
    assert found is not None
    return found


def dumb(
    settings: dict[str, Any], rewards: list[list[float]], penalties: Any, values: Any
) -> tuple[Numbers, Numbers]:
    """Rows of responses of tokens, no padding; a penalty is a number a token, or one a response."""
    gamma, lam, base = settings["discount"], settings["gae_lambda"], settings["baseline"]
    returns: Numbers = []
    found: Numbers = []
    for row, responses in enumerate(values):
        returns.append([])
        found.append([])
        for i, states in enumerate(responses):
            n = len(states)
            penalty = penalties[row][i]
            paid = [0.0 if isinstance(penalty, float) else -penalty[t] for t in range(n)]
            paid[-1] += rewards[row][i] - (penalty if isinstance(penalty, float) else 0.0)
            if base["kind"] == "value":
                delta = [
                    paid[t] + (gamma * states[t + 1] if t + 1 < n else 0.0) - states[t] for t in range(n)
                ]
                a = [sum((gamma * lam) ** (s - t) * delta[s] for s in range(t, n)) for t in range(n)]
                found[row].append(a)
                returns[row].append([x + v for x, v in zip(a, states, strict=True)])
            else:
                returns[row].append([sum(gamma ** (s - t) * paid[s] for s in range(t, n)) for t in range(n)])
    everyone = [g[0] for row in returns for g in row]
    for row, responses in enumerate(returns):
        if base["kind"] == "value":
            break
        totals = [g[0] for g in responses]
        for i, g in enumerate(responses):
            level, scale = 0.0, 1.0
            if base["kind"] == "constant":
                level = base["value"]
            if base["kind"] == "batch_mean":
                level = sum(everyone) / len(everyone)
            if base["kind"] in ("leave_one_out", "other"):
                others = totals[:i] + totals[i + 1 :]
                level = sum(others) / len(others) if others else 0.0
            if base["kind"] == "group_mean":
                level = sum(totals) / len(totals)
                if base["std"]:
                    squares = sum((x - level) ** 2 for x in totals)
                    same = max(totals) == min(totals)
                    sigma = 0.0 if same else math.sqrt(squares / (len(totals) - base["ddof"]))
                    scale = 0.0 if same else 1 / (sigma + base["epsilon"])
            found[row].append([(x - level) * scale for x in g])
    if settings["whiten"]:
        tokens = [x for row in found for a in row for x in a]
        mean = sum(tokens) / len(tokens)
        variance = sum((x - mean) ** 2 for x in tokens) / (len(tokens) - 1)
        found = [[[(x - mean) / math.sqrt(variance + 1e-8) for x in a] for a in row] for row in found]
    return found, returns


def padded(rows: Any, width: int, filler: float = 0.0) -> torch.Tensor:
    return torch.tensor(
        [[list(a) + [filler] * (width - len(a)) for a in row] for row in rows], dtype=torch.float64
    )


def draw(lengths: list[list[int]], seed: int = 0) -> tuple[Any, Any, Any]:
    """Rewards, penalties a token and values of responses of some lengths."""
    source = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, generator=source, dtype=torch.float64)  # noqa: E731
    rewards = [normal(len(row)).tolist() for row in lengths]
    penalties, values = ([[normal(n).tolist() for n in row] for row in lengths] for _ in range(2))
    return rewards, penalties, values


def computed(
    settings: dict[str, Any],
    rewards: Any,
    penalties: Any,
    values: Any,
    width: int = 7,
    world: World | None = None,
) -> dict[str, torch.Tensor]:
    """The same through tensors, with rubbish in the padding."""
    mask = padded([[[1.0] * len(a) for a in row] for row in values], width).bool()
    whole = isinstance(penalties[0][0], float)
    return advantages(
        described(settings),
        reward=torch.tensor(rewards, dtype=torch.float64),
        penalty=torch.tensor(penalties, dtype=torch.float64) if whole else padded(penalties, width, 1e9),
        value=padded(values, width, -1e9),
        mask=mask,
        world=world,
    )


LENGTHS = [[3, 1, 5], [2, 7, 1], [4, 4, 2], [1, 1, 1]]


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("decays", [(1.0, 1.0), (0.9, 0.95), (0.0, 0.5)])
@pytest.mark.parametrize(
    "base", BASELINES, ids=lambda b: f"{b['kind']}{b.get('ddof', '') if b.get('std') else ''}"
)
def test_they_are_what_the_definitions_say(base: dict[str, Any], decays: tuple[float, float], whiten: bool):
    settings = plan(base, discount=decays[0], gae_lambda=decays[1], whiten=whiten)
    rewards, penalties, values = draw(LENGTHS)
    for penalty in (penalties, [[sum(a) for a in row] for row in penalties]):
        advantage, returns = dumb(settings, rewards, penalty, values)
        found = computed(settings, rewards, penalty, values)
        torch.testing.assert_close(found["advantage"], padded(advantage, 7), rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(found["return"], padded(returns, 7), rtol=1e-11, atol=1e-11)


def test_two_tokens_by_hand():
    # R = (-0.1, 2 - 0.3), V = (0.5, 1), gamma 0.9, lambda 0.5:
    # delta = (-0.1 + 0.9 - 0.5, 1.7 - 1) = (0.3, 0.7), A = (0.3 + 0.45 * 0.7, 0.7), G = A + V
    settings = plan("value", discount=0.9, gae_lambda=0.5)
    found = computed(settings, [[2.0]], [[[0.1, 0.3]]], [[[0.5, 1.0]]], width=3)
    assert found["advantage"][0, 0].tolist() == pytest.approx([0.615, 0.7, 0.0])
    assert found["return"][0, 0].tolist() == pytest.approx([1.115, 1.7, 0.0])


def test_four_responses_by_hand():
    # rewards 1, 2, 3, 6: mean 3, the others of the last one average 2; deviations (ddof 0) sqrt(14/4)
    given = ([[1.0, 2.0, 3.0, 6.0]], [[0.0] * 4], [[[0.0]] * 4])
    found = computed(plan("leave_one_out"), *given, width=1)["advantage"].flatten().tolist()
    assert found == pytest.approx([1 - 11 / 3, 2 - 10 / 3, 3 - 3, 6 - 2])
    base = {"kind": "group_mean", "std": True, "ddof": 0, "epsilon": 0.0}
    found = computed(plan(base), *given, width=1)["advantage"].flatten().tolist()
    assert found == pytest.approx([x / math.sqrt(3.5) for x in (-2, -1, 0, 3)])


def test_whitening_by_hand():
    # tokens 1, 1, 4: mean 2, unbiased variance (1 + 1 + 4)/2 = 3
    found = computed(plan("none", whiten=True), [[1.0, 4.0]], [[0.0, 0.0]], [[[0.0] * 2, [0.0]]], width=2)
    expected = [-1 / math.sqrt(3), -1 / math.sqrt(3), 2 / math.sqrt(3), 0]
    assert found["advantage"].flatten().tolist() == pytest.approx(expected)
    assert found["return"].flatten().tolist() == [1, 1, 4, 0]


@pytest.mark.parametrize("base", BASELINES, ids=lambda b: b["kind"])
def test_padding_and_order_change_nothing(base: dict[str, Any]):
    settings = plan(base, discount=0.9, gae_lambda=0.9)
    rewards, penalties, values = draw(LENGTHS)
    narrow, wide = (computed(settings, rewards, penalties, values, width) for width in (7, 12))
    assert torch.equal(narrow["advantage"], wide["advantage"][..., :7])
    assert wide["advantage"][..., 7:].abs().sum() == 0
    order = [2, 0, 3, 1]
    turned = computed(settings, *([x[i] for i in order] for x in (rewards, penalties, values)))
    torch.testing.assert_close(turned["advantage"], narrow["advantage"][order], rtol=0, atol=1e-12)


@pytest.mark.parametrize("reward", [0.0, 0.1, 1 / 3, -7.7])
@pytest.mark.parametrize("k", [1, 3, 7])
@pytest.mark.parametrize("epsilon", [0.0, 1e-4])
def test_equal_rewards_over_their_deviation_are_zero(reward: float, k: int, epsilon: float):
    base = {"kind": "group_mean", "std": True, "ddof": 1, "epsilon": epsilon}
    found = computed(plan(base), [[reward] * k], [[0.0] * k], [[[0.0] * 2] * k], width=2)
    assert found["advantage"].flatten().tolist() == [0.0] * 2 * k


def test_a_response_alone_has_no_others_to_compare_with():
    given = ([[3.0]], [[0.0]], [[[0.0]]])
    for kind, expected in (("leave_one_out", 3.0), ("other", 3.0), ("batch_mean", 0.0), ("none", 3.0)):
        assert computed(plan(kind), *given, width=1)["advantage"].item() == expected
    assert computed(plan("none", whiten=True), *given, width=1)["advantage"].item() == 0.0


def test_a_smaller_group_counts_those_it_has():
    mask = torch.tensor([[[True], [True], [False]]])
    wanted, reward = described(plan("group_mean")), torch.tensor([[1.0, 3.0, 99.0]])
    found = advantages(wanted, reward=reward, penalty=None, value=None, mask=mask)
    assert found["advantage"].flatten().tolist() == [-1.0, 1.0, 0.0]


class Recorded(World):
    """A rank that knows the other's sums: those it recorded when it ran alone."""

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        return values + self.other.pop(0)  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("kind", ["batch_mean", "none", "value"])
def test_ranks_share_means_and_whitening(kind: str):
    """Two halves of a rollout, each told the other's sums, against the whole."""
    settings = plan(kind, discount=0.9, gae_lambda=0.8, whiten=True)
    given = draw(LENGTHS)
    whole = computed(settings, *given)["advantage"]
    advantage, _ = dumb(settings | {"whiten": False}, *given)
    halves = [slice(0, 1), slice(1, 4)]
    totals = [[g[0] for row in dumb(plan("none", discount=0.9), *given)[1][h] for g in row] for h in halves]
    everyone = totals[0] + totals[1]
    tokens = [[x for row in advantage[h] for a in row for x in a] for h in halves]
    mean = sum(tokens[0] + tokens[1]) / len(tokens[0] + tokens[1])
    for here, there in ((0, 1), (1, 0)):
        rank = Recorded(here, 2, torch.device("cpu"))
        other = [[sum(totals[there]), len(totals[there])]] if kind == "batch_mean" else []
        other += [[sum(tokens[there]), len(tokens[there])]]
        other += [[sum((x - mean) ** 2 for x in tokens[there]), len(tokens[there])]]
        object.__setattr__(rank, "other", [torch.tensor(pair, dtype=torch.float64) for pair in other])
        found = computed(settings, *(x[halves[here]] for x in given), world=rank)["advantage"]
        torch.testing.assert_close(found, whole[halves[here]], rtol=1e-11, atol=1e-11)
    assert len(everyone) == 12
