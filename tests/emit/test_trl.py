"""Emitted losses against TRL's own, on the same log-probabilities: loss and gradient.

TRL's loss functions run as they are; only the model's forward, and what gathers over processes, is replaced by
numbers drawn here. Where one name means two conventions, the test says which:

- `ipo`: TRL averages log-ratios over tokens, which is `reduce: mean`; ours sums by default, as in the paper.
- `bco_pair`: TRL's has no reference point; ours subtracts a running mean, held at 0 here.
- `sppo_hard`: TRL's β is 1/η.
- `simpo`, `cpo`, `orpo`: TRL's likelihood term is a mean over all tokens; ours over each response, added here.
- `f_dpo`: TRL's f′ differ from ours by constants, which cancel in a pair.
"""

from __future__ import annotations

import random
import types
from collections import defaultdict
from typing import Any

import pytest
import torch
from torch import Tensor

from ..batches import Numbers, numbers, totals
from ..emitted import loss_module, run_split, statistics_of, tensors
from ..variants import Variant, compiled

pytest.importorskip("trl")
pytestmark = pytest.mark.filterwarnings("ignore")

ROWS = 5
PAIR = ("chosen", "rejected")


def draw(variant: Variant) -> Numbers:
    return numbers(random.Random(variant.name), compiled(variant), ROWS)


def ours(variant: Variant, drawn: Numbers, z0: float | None = None) -> tuple[float, dict[str, Tensor]]:
    """Run the emitted loss; `z0` replaces its statistic."""
    made = compiled(variant)
    if z0 is None:
        loss, _, gradients = run_split(made, drawn, [list(range(ROWS))])
        return loss, gradients
    module, batch = loss_module(made), tensors(drawn, list(range(ROWS)))
    batch |= {f"statistic/{k}": torch.tensor(z0) for k in statistics_of(made, module, drawn)}
    share, _ = module.loss(batch, totals(drawn, made.needs.totals))
    share.backward()
    return share.item(), {n: t.grad for n, t in batch.items() if t.grad is not None}


def accelerator() -> Any:
    return types.SimpleNamespace(device="cpu", gather=lambda x: x, gather_for_metrics=lambda x: x)


def output(logps: Tensor, squares: Tensor | None = None) -> Any:
    """What TRL's fused head returns, of which the losses read the log-probabilities alone."""
    other = torch.zeros_like(logps)
    return types.SimpleNamespace(
        log_probs=logps, log_sum_sq_probs=squares, entropy=other, mean_logits=other, is_top1=other.bool()
    )


def padded(drawn: Numbers, name: str) -> Tensor:
    """Lay chosen over rejected responses, [2·rows, T]."""
    parts = [tensors(drawn, list(range(ROWS)))[f"{name}/{y}"] for y in PAIR]
    width = max(p.shape[1] for p in parts)
    return torch.cat([torch.nn.functional.pad(p.detach().double(), (0, width - p.shape[1])) for p in parts])


def trl_dpo(drawn: Numbers, loss_type: str, **settings: Any) -> tuple[float, Tensor]:
    """Run DPOTrainer's loss; the first token of a sequence, which has no log-probability, is the prompt's."""
    from trl import DPOTrainer

    mask = padded(drawn, "mask").bool()
    logps = padded(drawn, "policy").requires_grad_()
    reference = padded(drawn, "initial").sum(-1)
    if "ld_alpha" in settings:
        reference = discounted(padded(drawn, "initial"), mask, settings["ld_alpha"])
    squares = padded(drawn, "log_sum_squares") if "log_sum_squares/chosen" in drawn else None
    whole = torch.cat([torch.zeros(len(mask), 1, dtype=torch.bool), mask], 1)
    trainer = types.SimpleNamespace(
        **{
            "model": types.SimpleNamespace(training=True),
            "accelerator": accelerator(),
            "aux_loss_enabled": False,
            "ld_alpha": None,
            "precompute_ref_logps": True,
            "f_divergence_type": "reverse_kl",
            "f_alpha_divergence_coef": 0.5,
            "loss_types": [loss_type],
            "loss_weights": [1.0],
            "beta": 0.1,
            "label_smoothing": 0.0,
            "use_weighting": False,
            "args": types.SimpleNamespace(discopop_tau=0.05),
            "_metrics": {"train": defaultdict(list)},
            "_total_train_tokens": 0,
            "_tp_size": 1,
            **settings,
        }
    )
    inputs = {
        "input_ids": torch.zeros_like(whole, dtype=torch.long),
        "attention_mask": torch.ones_like(whole),
        "completion_mask": whole.long(),
        "ref_chosen_logps": reference[:ROWS],
        "ref_rejected_logps": reference[ROWS:],
    }
    loss = DPOTrainer._compute_loss(trainer, lambda **_: output(logps, squares), inputs, False)
    loss.backward()
    return loss.item(), logps.grad * mask  # where there is no token, a model has no output to change


def discounted(logps: Tensor, mask: Tensor, alpha: float) -> Tensor:
    lengths = mask.sum(-1)
    shared = torch.minimum(lengths[:ROWS], lengths[ROWS:]).repeat(2)
    inside = mask.cumsum(-1) <= shared[:, None]
    return (logps * torch.where(inside, 1.0, alpha)).sum(-1)


def same(mine: tuple[float, dict[str, Tensor]], theirs: tuple[float, Tensor]) -> None:
    assert mine[0] == pytest.approx(theirs[0], rel=1e-5)
    for place, y in enumerate(PAIR):
        rows = theirs[1][place * ROWS : (place + 1) * ROWS]
        found = mine[1][f"policy/{y}"]
        torch.testing.assert_close(found, rows[:, : found.shape[1]].to(found), rtol=1e-5, atol=1e-7)


V = Variant
SAME: list[tuple[Variant, str, dict[str, Any]]] = [
    (V("dpo"), "sigmoid", {}),
    (V("ipo", given={"reduce": "mean"}), "ipo", {}),
    (V("hinge"), "hinge", {"beta": 0.05}),
    (V("robust_dpo"), "robust", {"label_smoothing": 0.1}),
    (V("exo"), "exo_pair", {"label_smoothing": 1e-3}),
    (V("nca"), "nca_pair", {}),
    (V("aot"), "aot", {}),
    (V("aot", given={"label_smoothing": 0.1}), "aot", {"label_smoothing": 0.1}),
    (V("apo_zero"), "apo_zero", {}),
    (V("apo_down"), "apo_down", {}),
    (V("discopop"), "discopop", {}),
    (V("sppo", given={"eta": 5, "hard": True}), "sppo_hard", {"beta": 0.2}),
    (V("ld_dpo"), "sigmoid", {"ld_alpha": 0.5}),
    (V("wpo"), "sigmoid", {"use_weighting": True}),
    (V("f_dpo", given={"divergence": "forward_kl"}), "sigmoid", {"f_divergence_type": "forward_kl"}),
    (V("f_dpo", given={"divergence": "js"}), "sigmoid", {"f_divergence_type": "js_divergence"}),
]


@pytest.mark.parametrize(("variant", "loss_type", "settings"), SAME, ids=[v.name for v, _, _ in SAME])
def test_pairs(variant: Variant, loss_type: str, settings: dict[str, Any]) -> None:
    drawn = draw(variant)
    if variant.preset == "sppo":
        drawn |= {f"initial/{y}": drawn[f"previous_iterate/{y}"] for y in PAIR}
    theirs = trl_dpo(drawn, loss_type, **settings)
    drawn = {n: v for n, v in drawn.items() if variant.preset != "sppo" or not n.startswith("initial")}
    same(ours(variant, drawn), theirs)


def test_bco_of_pairs() -> None:
    variant = V("bco")
    drawn = draw(variant)
    same(ours(variant, drawn, z0=0.0), trl_dpo(drawn, "bco_pair"))


def test_kto() -> None:
    """TRL joins the losses of wanted and unwanted rows and averages them; z₀ is the clamped mean of its KL batch."""
    from trl import KTOTrainer

    variant = V("kto", "pointwise", {"desirable_weight": 1.3, "undesirable_weight": 0.7})
    drawn = draw(variant)
    batch = tensors(drawn, list(range(ROWS)))
    logps, mask = batch["policy/completion"].detach().clone().requires_grad_(), batch["mask/completion"]
    whole = torch.cat([torch.zeros(ROWS, 1, dtype=torch.bool), mask], 1).long()
    kl_mask = torch.cat([torch.zeros(ROWS, 1, dtype=torch.bool), batch["mask/mismatched"]], 1).long()
    inputs = {
        "input_ids": torch.zeros_like(whole),
        "attention_mask": torch.ones_like(whole),
        "completion_mask": whole,
        "KL_input_ids": torch.ones_like(kl_mask),
        "KL_attention_mask": torch.ones_like(kl_mask),
        "KL_completion_mask": kl_mask,
        "label": batch["column/label"].bool(),
        "ref_logps": batch["initial/completion"].sum(-1),
        "ref_KL_logps": batch["initial/mismatched"].sum(-1),
    }

    def model(**given: Any) -> Any:
        other = given["input_ids"].sum() > 0
        return output(batch["policy/mismatched"] if other else logps)

    trainer = types.SimpleNamespace(
        model=types.SimpleNamespace(training=True),
        accelerator=accelerator(),
        aux_loss_enabled=False,
        calculate_KL=True,
        precompute_ref_logps=True,
        loss_type="kto",
        beta=0.1,
        desirable_weight=1.3,
        undesirable_weight=0.7,
        _metrics={"train": defaultdict(list)},
        _total_train_tokens=0,
        _tp_size=1,
    )
    trainer._compute_kl_logps = types.MethodType(KTOTrainer._compute_kl_logps, trainer)
    loss = KTOTrainer._compute_loss(trainer, model, inputs, False)
    loss.backward()
    mine, gradients = ours(variant, drawn)
    assert mine == pytest.approx(loss.item(), rel=1e-5)
    torch.testing.assert_close(gradients["policy/completion"], logps.grad * mask, rtol=1e-5, atol=1e-7)


def summed(drawn: Numbers, mean: bool) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Reduce each response to its log-probability, as these trainers do before their losses."""
    batch, found = tensors(drawn, list(range(ROWS))), []
    for y in PAIR:
        total = batch[f"policy/{y}"].sum(-1)
        found.append(total / batch[f"mask/{y}"].sum(-1) if mean else total)
    return batch, found


@pytest.mark.parametrize(
    ("variant", "loss_type", "beta", "alpha", "mean", "weight"),
    [
        (V("simpo"), "simpo", 2.0, 0.0, True, 0.0),
        (V("alphapo"), "simpo", 2.0, 0.1, True, 0.0),
        (V("cpo"), "sigmoid", 0.1, 0.0, False, 1.0),
        (V("orpo"), "orpo", 0.1, 0.0, True, 1.0),
    ],
    ids=["simpo", "alphapo", "cpo", "orpo"],
)
def test_without_a_reference(
    variant: Variant, loss_type: str, beta: float, alpha: float, mean: bool, weight: float
) -> None:
    from trl.experimental.cpo import CPOTrainer
    from trl.experimental.orpo import ORPOTrainer

    drawn = draw(variant)
    batch, logps = summed(drawn, mean)
    settings = {"accelerator": accelerator(), "beta": beta, "alpha": alpha, "loss_type": loss_type}
    trainer = types.SimpleNamespace(**settings, simpo_gamma=0.5, label_smoothing=0.0)
    if loss_type == "orpo":
        losses = -ORPOTrainer.odds_ratio_loss(trainer, *logps)[0]
    else:
        losses = CPOTrainer.cpo_loss(trainer, *logps)[0]
    likelihood = batch["policy/chosen"].sum(-1) / batch["mask/chosen"].sum(-1)
    loss = losses.mean() - weight * likelihood.mean()
    loss.backward()
    mine, gradients = ours(variant, drawn)
    assert mine == pytest.approx(loss.item(), rel=1e-5)
    for y in PAIR:
        mask = batch[f"mask/{y}"]
        torch.testing.assert_close(
            gradients[f"policy/{y}"] * mask, batch[f"policy/{y}"].grad * mask, rtol=2e-5, atol=1e-6
        )
