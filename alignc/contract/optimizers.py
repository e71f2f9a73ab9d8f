"""The optimizers: what each keeps for a weight, and which engines can spread it over processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["ADAMW", "BF16", "EIGHT_BIT", "FUSED", "MUON", "OPTIMIZERS", "OptimizerName", "OptimizerRow"]

OptimizerName = Literal[
    "adamw_torch_fused",
    "adamw_torch",
    "adamw_bnb_8bit",
    "adamw_bf16_stochastic",
    "adafactor",
    "muon",
    "rmsprop",
    "sgd",
]


@dataclass(frozen=True)
class OptimizerRow:
    """An optimizer by its name in `train.optim`.

    `state_bytes`: what it keeps for a weight beside the weight itself, in bytes; of `adafactor` and `muon` the most.
    `counter`: whether it also counts the steps of each tensor, in 4 bytes. `sharded`: whether every number of its state
    belongs to one weight, so that DeepSpeed can spread it. `wide`: whether weights and state are float32 at the least.
    `unit_steps`: whether a step moves a weight by about the learning rate, whatever its gradient.
    """

    name: OptimizerName
    state_bytes: int
    counter: bool = False
    sharded: bool = True
    wide: bool = True
    unit_steps: bool = True
    extra: str | None = None
    package: str | None = None


FUSED = OptimizerRow("adamw_torch_fused", 8, counter=True)
ADAMW = OptimizerRow("adamw_torch", 8, counter=True)
EIGHT_BIT = OptimizerRow("adamw_bnb_8bit", 2, sharded=False, extra="quant", package="bitsandbytes")
BF16 = OptimizerRow("adamw_bf16_stochastic", 4, counter=True, sharded=False, wide=False)
ADAFACTOR = OptimizerRow("adafactor", 4, counter=True, sharded=False, unit_steps=False)
MUON = OptimizerRow("muon", 8, sharded=False)
RMSPROP = OptimizerRow("rmsprop", 4, counter=True)
SGD = OptimizerRow("sgd", 0, unit_steps=False)

OPTIMIZERS: Mapping[str, OptimizerRow] = {
    row.name: row for row in (FUSED, ADAMW, EIGHT_BIT, BF16, ADAFACTOR, MUON, RMSPROP, SGD)
}
