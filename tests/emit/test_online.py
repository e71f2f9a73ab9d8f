"""Emitted policy gradients against the reference implementation, over whole batches, and what they take off rewards."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from alignc.api import Compiled

from ..batches import Numbers
from ..emitted import filled, loss_module, run_split
from ..online_variants import METHODS, PRESETS, Online, compiled_online, example
from ..reference_policy import evaluated, kappa

ROWS = 5
SPLITS = ([[0, 1, 2, 3, 4]], [[3], [4, 1], [0, 2]], [[4], [3], [2], [1], [0]])
KEYS = {"policy": "logp", "rollout": "old_logp", "initial": "ref_logp", "token_value": "value"}


def numbers_of(made: Compiled, rows: Sequence[dict[str, Any]]) -> Numbers:
    """Lay examples out as a batch of what the job reads."""
    needs = made.needs
    names = ["policy", *needs.anchors, *(o for o in needs.outputs), *(f"column/{c}" for c in COLUMNS)]
    found = {}
    for name in names:
        key = KEYS.get(name, name.removeprefix("column/"))
        found[f"{name}/completions"] = [[y[key] for y in row["completions"]] for row in rows if has(row, key)]
    return {name: values for name, values in found.items() if values}


COLUMNS = ("reward", "win_rate", "advantage", "return", "old_value", "old_divergence")


def has(row: dict[str, Any], key: str) -> bool:
    return all(key in y for y in row["completions"])


@pytest.mark.parametrize("variant", METHODS, ids=lambda v: v.name)
def test_whole_batches(variant: Online) -> None:
    """Groups and responses of any length, in any split and order: one loss, one gradient."""
    made, rng = compiled_online(variant), random.Random(variant.name)
    rows = [example(rng, variant) for _ in range(ROWS)]
    drawn = numbers_of(made, rows)
    loss, slopes = evaluated([row["completions"] for row in rows], variant.means)
    expected = {
        "policy/completions": slopes.logp,
        "token_value/completions": slopes.value,
        "entropy/completions": slopes.entropy,
        "divergence/completions": slopes.divergence,
    }
    for number, splits in enumerate(SPLITS):
        found, _, gradients = run_split(made, drawn, splits, extra=number)
        assert found == pytest.approx(loss, rel=1e-10, abs=1e-12)
        for name, gradient in gradients.items():
            wanted = filled(expected[name], 0)
            torch.testing.assert_close(gradient, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("granularity", ["token", "sequence"])
@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_what_is_taken_off_a_reward(estimator: str, granularity: str) -> None:
    """β·κ(u) under the policy that sampled: of every token, or of the sum over them."""
    kl = {"estimator": estimator, "placement": "reward", "beta": 0.25, "granularity": granularity}
    waived = {"k2": "E203", "k3": "E204"}.get(estimator, "")
    variant = Online("held", {"preset": "reinforce_pp", "kl": kl}, METHODS[0].means, waived=waived)
    made, rng = compiled_online(variant), random.Random(3)
    rows = [example(rng, variant) for _ in range(ROWS)]
    drawn = numbers_of(made, rows)
    batch = {name: filled(drawn[f"{name}/completions"], 2) for name in ("rollout", "initial")}
    given = {f"{name}/completions": values for name, values in batch.items()}
    ones = [[[1.0] * len(y["logp"]) for y in row["completions"]] for row in rows]
    found = loss_module(made).penalty({**given, "mask/completions": filled(ones, 2).bool()})
    for place, row in enumerate(rows):
        for which, y in enumerate(row["completions"]):
            u = [o - r for o, r in zip(y["old_logp"], y["ref_logp"], strict=True)]
            if granularity == "sequence":
                assert float(found[place, which]) == pytest.approx(0.25 * kappa(estimator, sum(u))[0])
            else:
                taken = found[place, which, : len(u)].tolist()
                assert taken == pytest.approx([0.25 * kappa(estimator, one)[0] for one in u])


@pytest.mark.parametrize("high", [0.1, 0.3])
def test_what_is_clipped_is_what_the_clip_has_moved(high: float) -> None:
    """ρ of 0.7, 1, 1.25 and 1.4 with A of either sign, beside a clip to [0.8, 1 + high]."""
    axes = {"surrogate": {"kind": "clipped", "low": 0.2, "high": high}, "baseline": "none"}
    term = {"name": "policy", "kind": "policy_gradient", "aggregation": "global_token_mean", **axes}
    made = compiled_online(Online("clip", {"terms": [term]}, PRESETS[0].means))
    ratios, rewards = [0.7, 1.0, 1.25, 1.4], [1.0, -1.0]
    logs = [[[torch.tensor(r, dtype=torch.float64).log().item() for r in ratios]] * 2]
    batch = {
        "policy/completions": filled(logs, 0).requires_grad_(),
        "rollout/completions": torch.zeros(1, 2, 4, dtype=torch.float64),
        "column/reward/completions": torch.tensor([rewards], dtype=torch.float64),
        "mask/completions": torch.ones(1, 2, 4, dtype=torch.bool),
    }
    _, metrics = loss_module(made).loss(batch, {"rows": 1.0, "tokens/completions": 8.0})
    clipped = [(r > 1 + high and a > 0) or (r < 0.8 and a < 0) for a in rewards for r in ratios]
    assert float(metrics["policy/clipfrac_avg"]) == sum(clipped) / 8
