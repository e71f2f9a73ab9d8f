"""Each row of the table of outputs as a job has it: computed, in its shape, under the name that a loss reads."""

from __future__ import annotations

import copy
import re
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForSequenceClassification

from alignc.contract.outputs import OUTPUTS, Per, Quantity
from alignc.graph.nodes import Output
from alignc.printers.torch import Printer
from alignc.runtime.models.value import with_value_head
from alignc.runtime.scoring.layout import pad
from alignc.runtime.scoring.micro import BatchLayout, loss_inputs
from alignc.runtime.scoring.rewards import RewardScorer
from alignc.runtime.scoring.scorer import ReferenceModel, Scorer

from .test_collision import EXAMPLES, model
from .test_online_rows import plan

SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


def scored(quantity: Quantity) -> tuple[Any, dict[str, Tensor]]:
    """Score a batch with what is asked for an output alone."""
    batch = pad(EXAMPLES, torch.device("cpu"), 0)
    if quantity == Quantity.SCORE:
        config = AutoConfig.for_model("llama", vocab_size=12, pad_token_id=0, num_labels=1, **SIZES)
        layout = BatchLayout(False, 0, torch.device("cpu"), None, torch.float64, whole=True)
        batch = layout.batch(EXAMPLES)
        return batch, RewardScorer(AutoModelForSequenceClassification.from_config(config))(batch)
    policy = with_value_head(model())
    other = copy.deepcopy(model())
    beside = ReferenceModel(other, Scorer(other), nullcontext)
    return batch, Scorer(policy, outputs=[quantity], beside=beside)(batch)


@pytest.mark.parametrize("quantity", Quantity)
def test_a_job_computes_each_output_in_its_shape(quantity: Quantity) -> None:
    batch, found = scored(quantity)
    rows, responses, tokens = batch.mask.shape
    shapes = {Per.PROMPT: (rows,), Per.RESPONSE: (rows, responses), Per.TOKEN: (rows, responses, tokens)}
    assert found.keys() - {"logps"} == {quantity}
    assert found[quantity].shape == shapes[OUTPUTS[quantity].per]
    assert found[quantity].requires_grad == OUTPUTS[quantity].trained


@pytest.mark.parametrize("quantity", Quantity)
def test_a_loss_reads_an_output_under_the_name_that_a_job_gives_it(quantity: Quantity) -> None:
    batch, found = scored(quantity)
    inputs = loss_inputs(
        plan(outputs=[quantity], anchors=[], responses=["chosen", "rejected"]), EXAMPLES, batch, found, {}
    )
    printed = Printer({}).show(Output(quantity, "policy", "rejected"))[0]
    name = re.fullmatch(r'batch\["(.+)"\]', printed)
    assert name is not None
    assert name[1] in inputs
