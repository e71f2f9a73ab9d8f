"""Emitted policy gradients against TRL's own losses, on the same log-probabilities: loss and gradient.

`GRPOTrainer._compute_loss` and `RLOOTrainer._compute_loss` run as they are; the model's forward alone is replaced, by
numbers drawn here. What TRL has inside its sampling loop (advantages from rewards) is written out here. Where one name
means two conventions, the test says which:

- `cispo`: TRL's `epsilon_high` is the bound itself; ours is 1 + ε_h, and there is no lower bound.
- `rloo`: TRL clips the ratio of the whole response, which is `surrogate: clipped, ratio: sequence`; without a step in
  between its gradient is that of our preset, REINFORCE.
- `gspo`: TRL's name for the ratio's geometric mean is `importance_sampling_level="sequence"`.
- `delta`: TRL bounds the ratio for advantages of both signs; where A > 0 the clip is there first.
"""

from __future__ import annotations

import random
import types
from collections import defaultdict
from typing import Any

import pytest
import torch
from torch import Tensor

from ..batches import Numbers
from ..emitted import filled, run_split
from ..online_variants import METHODS, Online, compiled_online
from ..reference_policy import Method

pytest.importorskip("trl")
pytestmark = pytest.mark.filterwarnings("ignore")

ROWS, K = 3, 4
BY_NAME = {v.name: v for v in METHODS}


def draw(variant: Online, moved: float = 0.3) -> Numbers:
    """Draw groups of one size, as TRL takes them."""
    rng = random.Random(variant.name)
    policy = [
        [[-rng.expovariate(1.0) - 1e-3 for _ in range(rng.randint(1, 9))] for _ in range(K)]
        for _ in range(ROWS)
    ]

    def near(by: float) -> list[Any]:
        return [[[p + rng.gauss(0, by) for p in y] for y in row] for row in policy]

    rewards = [[rng.gauss(0, 1) for _ in range(K)] for _ in range(ROWS)]
    return {
        "policy/completions": policy, "rollout/completions": near(moved), "initial/completions": near(0.3),
        "column/reward/completions": rewards,
    }  # fmt: skip


def advantages(drawn: Numbers, std: bool, leave_one_out: bool = False) -> Tensor:
    """Subtract the mean of each group, and divide by its standard deviation plus 1e-4."""
    rewards = torch.tensor(drawn["column/reward/completions"], dtype=torch.float64)
    above = rewards - rewards.mean(1, keepdim=True)
    if leave_one_out:
        above = above * K / (K - 1)
    return (above / (rewards.std(1, keepdim=True) + 1e-4) if std else above).flatten()


def flat(drawn: Numbers, name: str) -> Tensor:
    return filled(drawn[f"{name}/completions"], 0).flatten(0, 1)


def trainer(logps: Tensor, **settings: Any) -> Any:
    """Stand in for the trainer: its settings, and a forward that gives what was drawn."""
    accelerator = types.SimpleNamespace(
        num_processes=1, gather=lambda x: x, gather_for_metrics=lambda x: x, reduce=lambda x, reduction: x
    )
    arguments = {
        "use_bias_correction_kl": settings.pop("bias_correction", False), "delta": settings.pop("delta", None),
        "sapo_temperature_pos": 2.0, "sapo_temperature_neg": 2.0, "steps_per_generation": 1,
    }  # fmt: skip
    given = {
        "_get_per_token_logps_and_entropies": lambda *a, **k: (logps, torch.zeros_like(logps), None),
        "accelerator": accelerator, "args": types.SimpleNamespace(**arguments),
        "model": types.SimpleNamespace(training=True), "_metrics": {"train": defaultdict(list)},
        "top_entropy_quantile": 1.0, "off_policy_mask_threshold": None, "importance_sampling_level": "token",
        "aux_loss_enabled": False, "use_vllm": False, "beta": 0.0, "epsilon_low": 0.2, "epsilon_high": 0.2,
        "current_gradient_accumulation_steps": 1, "max_completion_length": 64, "_entropy_bonus_enabled": False,
        "use_adaptive_entropy": False,
    }  # fmt: skip
    return types.SimpleNamespace(**{**given, **settings})


def inputs(drawn: Numbers, advantage: Tensor) -> dict[str, Tensor]:
    mask = (
        filled([[[1.0] * len(y) for y in row] for row in drawn["policy/completions"]], 0).flatten(0, 1).long()
    )
    rollout = flat(drawn, "rollout")
    return {
        "prompt_ids": torch.zeros(len(mask), 1, dtype=torch.long), "prompt_mask": torch.ones(len(mask), 1),
        "completion_ids": torch.zeros_like(mask), "completion_mask": mask, "advantages": advantage,
        "old_per_token_logps": rollout, "old_logps": (rollout * mask).sum(1),
        "ref_per_token_logps": flat(drawn, "initial"), "num_items_in_batch": mask.sum(),
    }  # fmt: skip


def theirs(drawn: Numbers, advantage: Tensor, rloo: bool = False, **settings: Any) -> tuple[float, Tensor]:
    from trl import GRPOTrainer, RLOOTrainer

    logps = flat(drawn, "policy").requires_grad_()
    compute = RLOOTrainer._compute_loss if rloo else GRPOTrainer._compute_loss
    given = inputs(drawn, advantage)
    loss = compute(trainer(logps, **settings), None, given)
    loss.backward()
    return loss.item(), logps.grad * given["completion_mask"]


def same(variant: Online, drawn: Numbers, expected: tuple[float, Tensor], loss_too: bool = True) -> None:
    made = compiled_online(variant)
    needed = {
        k: v for k, v in drawn.items() if k.partition("/")[0] in ("policy", "column", *made.needs.anchors)
    }
    loss, _, gradients = run_split(made, needed, [list(range(ROWS))])
    if loss_too:
        assert loss == pytest.approx(expected[0], rel=1e-9, abs=1e-12)
    found = gradients["policy/completions"].flatten(0, 1)
    torch.testing.assert_close(found, expected[1].to(found), rtol=1e-9, atol=1e-12)


def term(name: str, **axes: Any) -> Online:
    """A policy gradient of one's own; what it means stands in TRL's settings."""
    return Online(name, {"terms": [{"name": "policy", "kind": "policy_gradient", **axes}]}, Method())


STD = {"kind": "group_mean", "std": True}
SAME: list[tuple[Online, bool, dict[str, Any]]] = [
    (BY_NAME["grpo"], True, {"loss_type": "grpo", "beta": 0.04}),
    (BY_NAME["grpo-kl_None"], True, {"loss_type": "grpo"}),
    (BY_NAME["dr_grpo"], False, {"loss_type": "dr_grpo"}),
    (BY_NAME["dapo"], True, {"loss_type": "dapo", "epsilon_high": 0.28}),
    (
        BY_NAME["gspo-clip_low_0.05-clip_high_0.1"],
        True,
        {
            "loss_type": "grpo",
            "importance_sampling_level": "sequence",
            "epsilon_low": 0.05,
            "epsilon_high": 0.1,
        },
    ),
    (BY_NAME["cispo"], True, {"loss_type": "cispo", "epsilon_high": 5.0}),
    (
        term("dual", baseline=STD, surrogate={"kind": "clipped", "dual": 1.3}, aggregation="token_mean"),
        True,
        {"loss_type": "grpo", "delta": 1.3},
    ),
    (
        term("sapo", baseline=STD, surrogate={"kind": "soft", "temperature": 2.0}, aggregation="token_mean"),
        True,
        {"loss_type": "sapo"},
    ),
    (
        term(
            "bias-corrected",
            baseline=STD,
            surrogate="clipped",
            aggregation="token_mean",
            kl={"estimator": "k3", "placement": "ratio", "beta": 0.1},
        ),
        True,
        {"loss_type": "grpo", "beta": 0.1, "bias_correction": True},
    ),
    (
        term("bnpo", baseline=STD, surrogate="clipped", aggregation="global_token_mean"),
        True,
        {"loss_type": "bnpo"},
    ),
]


@pytest.mark.parametrize(("variant", "std", "settings"), SAME, ids=[v.name for v, _, _ in SAME])
def test_groups(variant: Online, std: bool, settings: dict[str, Any]) -> None:
    drawn = draw(variant)
    same(variant, drawn, theirs(drawn, advantages(drawn, std), **settings))


def test_rloo_with_a_clipped_ratio() -> None:
    variant = term("rloo", baseline="leave_one_out", surrogate="clipped", ratio="sequence")
    drawn = draw(variant, moved=0.1)
    same(variant, drawn, theirs(drawn, advantages(drawn, False, True), rloo=True))


def test_rloo_before_a_step() -> None:
    """ρ = 1: the gradient of TRL's loss is that of REINFORCE; the values of the two losses are not comparable."""
    variant = BY_NAME["rloo-kl_None"]
    drawn = draw(variant, moved=0.0)
    same(variant, drawn, theirs(drawn, advantages(drawn, False, True), rloo=True), loss_too=False)
