"""What weights are trained in, computed in, and written in: a small step is not rounded away."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, ByT5Tokenizer

from alignc.contract.failure import Failure
from alignc.contract.job import Job, job_from
from alignc.runtime.models.load import initial_model, ready
from alignc.runtime.models.precision import autocast_dtype, rounding_loss
from alignc.runtime.models.start import stored_dtype

from .fixtures import job_data

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)  # peft

CPU = torch.device("cpu")
TOKENIZER = ByT5Tokenizer()
SIZES = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint in bfloat16, as they are published."""
    folder = tmp_path_factory.mktemp("narrow")
    torch.manual_seed(0)
    config = AutoConfig.for_model("llama", vocab_size=384, **SIZES, num_key_value_heads=2)
    AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
    return folder


def job(folder: Path, *, train: dict[str, Any] | None = None, **model: Any) -> Job:
    data = job_data("sft", Path("/r"), Path("/o"))
    data["spec"]["model"] |= {"policy": str(folder), "reference": None, "adapter": None, **model}
    data["spec"]["train"] |= train or {}
    return job_from(data)


def loaded(made: Job) -> torch.nn.Module:
    return ready(initial_model(made, TOKENIZER), made, CPU)


def test_what_is_trained_is_float32_and_holds_the_values_of_the_checkpoint(narrow: Path):
    model = loaded(job(narrow))
    stored = AutoModelForCausalLM.from_pretrained(narrow).state_dict()
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert all(torch.equal(value, stored[name].float()) for name, value in model.state_dict().items())
    assert autocast_dtype(job(narrow), model, CPU) is None
    assert stored_dtype(job(narrow).spec.model) is torch.bfloat16


def test_under_an_adapter_the_base_stays_narrow_and_products_are_bfloat16(narrow: Path):
    lora = {"kind": "lora", "r": 2, "alpha": 4.0, "dropout": 0.0, "target_modules": "all-linear"}
    made = job(narrow, adapter=lora)
    model = loaded(made)
    trained = {p.dtype for p in model.parameters() if p.requires_grad}
    frozen = {p.dtype for p in model.parameters() if not p.requires_grad}
    assert (trained, frozen) == ({torch.float32}, {torch.bfloat16})
    assert autocast_dtype(made, model, CPU) is torch.bfloat16


def test_a_precision_that_the_spec_names_is_obeyed(narrow: Path):
    named = job(narrow, dtype="bfloat16")
    assert {p.dtype for p in loaded(named).parameters()} == {torch.float32}
    assert autocast_dtype(named, loaded(named), CPU) is torch.bfloat16
    for bf16, dtype in ((True, torch.bfloat16), (False, None)):
        made = job(narrow, train={"bf16": bf16})
        assert autocast_dtype(made, loaded(made), CPU) is dtype


def test_mixed_precision_of_the_launch_comes_first(narrow: Path):
    made = job(narrow, train={"bf16": True})
    for name, dtype in (("bf16", torch.bfloat16), ("no", None)):
        launch = dataclasses.replace(made.spec.launch, mixed_precision=name)
        asked = dataclasses.replace(made, spec=dataclasses.replace(made.spec, launch=launch))
        assert autocast_dtype(asked, loaded(asked), CPU) is dtype
    launch = dataclasses.replace(made.spec.launch, mixed_precision="fp16")
    refused = dataclasses.replace(made, spec=dataclasses.replace(made.spec, launch=launch))
    with pytest.raises(Failure, match="E605"):
        autocast_dtype(refused, torch.nn.Linear(1, 1), CPU)


def test_bfloat16_weights_are_trained_by_name_alone(narrow: Path):
    made = job(narrow, train={"optim": "adamw_bf16_stochastic"})
    assert {p.dtype for p in loaded(made).parameters()} == {torch.bfloat16}
    assert autocast_dtype(made, loaded(made), CPU) is None


def test_the_rounding_of_the_final_file_is_measured_against_what_training_changed():
    start = {"w": torch.tensor([0.02001953125])}  # a bfloat16 number; its upper neighbour is 2^-13 away
    near = {"w": start["w"] + 2**-15}  # rounded back to the start: all is lost
    halfway = {"w": start["w"] + 2**-13 + 2**-16}  # rounded to the neighbour
    assert rounding_loss(start, near, torch.bfloat16) == pytest.approx(1.0)
    assert rounding_loss(start, halfway, torch.bfloat16) == pytest.approx(
        2**-16 / (2**-13 + 2**-16), rel=1e-4
    )
    assert rounding_loss(start, start, torch.bfloat16) == 0.0
