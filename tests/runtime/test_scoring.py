"""Scores of a rollout's rows: each token's, in its place, and in the bits of the training forward."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from alignc.runtime.models.critic import critic_of
from alignc.runtime.scoring.outputs import score_outputs, score_rows
from alignc.runtime.scoring.scorer import Scorer

from .test_critic import ADAPTER, COPY, job, made, scatter
from .test_scorer import GROUPS

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)  # peft

WIDE = {"init": "llama", "tokenizer": "bytes", "vocab_size": 9000, "hidden_size": 16, "intermediate_size": 32}
WIDE |= {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2}


@pytest.mark.parametrize("layout", ["packed", "padded"])
@pytest.mark.parametrize("adapter", [None, ADAPTER], ids=["full", "lora"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize("autocast", [None, torch.bfloat16], ids=["", "autocast"])
def test_the_bits_are_those_of_the_first_training_forward(
    tmp_path: Path, layout: str, adapter: Any, dtype: str, autocast: Any
):
    """Over three tiles of vocabulary; under LoRA the head is frozen and takes another path."""
    section = {"policy": WIDE, "dtype": dtype, "adapter": adapter}
    read = job(tmp_path, COPY, layout=layout, model=section, activation_checkpointing=dtype == "float32")
    model, layout = made(read)
    if autocast is not None:
        layout = type(layout)(**vars(layout) | {"autocast": autocast})
    scatter(model)
    scorer, parts = Scorer(model, outputs=["token_value", "entropy"]), [[1], [2, 0]]
    scored = score_outputs(scorer, GROUPS, parts, layout)
    assert scorer.training
    for part in parts:
        batch = layout.batch([GROUPS[place] for place in part])
        with layout.precision():
            found = scorer(batch)
        assert found["logps"].requires_grad
        for name in ("logps", "token_value", "entropy"):
            for line, place in enumerate(part):
                for number, values in enumerate(scored[name][place]):
                    assert len(values) == len(GROUPS[place].responses[number])
                    wanted = found[name][line, number, : len(values)].detach().numpy()
                    np.testing.assert_array_equal(values, wanted)
                    assert values.any()


def test_rows_stand_in_their_places_and_an_empty_part_counts_nothing(tmp_path: Path):
    model, layout = made(job(tmp_path, COPY))
    beats: list[int] = []
    found = score_rows(model, GROUPS, [[2], [], [0]], layout, each=lambda: beats.append(1))
    assert len(beats) == 3
    assert [len(row) for row in found] == [3, 0, 2]
    for place in (0, 2):
        alone = score_rows(model, [GROUPS[place]], [[0]], layout)[0]
        for one, other in zip(found[place], alone, strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == np.float32


def test_without_its_adapter_the_policy_is_its_base(tmp_path: Path):
    plain, layout = made(job(tmp_path, None))
    model, _ = made(job(tmp_path, COPY, model={"adapter": ADAPTER}))
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            torch.nn.init.normal_(parameter)
    moved = score_rows(model, GROUPS, [[0, 1, 2]], layout)
    with model.disable_adapter():
        bare = score_rows(model, GROUPS, [[0, 1, 2]], layout)
    for one, other, wanted in zip(moved, bare, score_rows(plain, GROUPS, [[0, 1, 2]], layout), strict=True):
        np.testing.assert_array_equal(other[0], wanted[0])
        assert (one[0] != other[0]).any()
    assert all(p.requires_grad for p in critic_of(model).parameters())
    assert all(p.requires_grad for n, p in model.named_parameters() if ".lora_" in n)
