from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, ByT5Tokenizer

from alignc.contract.failure import Failure
from alignc.contract.job import Adapter, Job, job_from
from alignc.runtime.models.adapters import pretrained
from alignc.runtime.models.load import (
    initial_model,
    ready,
    resumed_model,
    save_model,
)

from .fixtures import TINY, job_data

pytestmark = pytest.mark.filterwarnings(  # of peft
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning",
    "ignore:Could not find a config file in /out/base:UserWarning",
)

CPU = torch.device("cpu")
TOKENIZER = ByT5Tokenizer()
GPT2 = {"init": "gpt2", "tokenizer": "bytes", "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64}
LORA = {"kind": "lora", "r": 2, "alpha": 4.0, "dropout": 0.0, "target_modules": "all-linear"}


def job(**model) -> Job:
    return job_from(job_data("sft", Path("/rows.jsonl"), Path("/out"), model=model))


def same(one: nn.Module, two: nn.Module) -> bool:
    pairs = zip(one.state_dict().items(), two.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


@pytest.mark.parametrize(
    "policy", [TINY, GPT2, TINY | {"init": "qwen2"}, TINY | {"init": "qwen3", "head_dim": 8}]
)
def test_init_is_a_function_of_the_seed(policy: dict):
    before = torch.random.get_rng_state()
    first, second = initial_model(job(policy=policy), TOKENIZER), initial_model(job(policy=policy), TOKENIZER)
    assert torch.equal(before, torch.random.get_rng_state())
    assert same(first, second)
    assert first.config.model_type == policy["init"]
    assert first.config.vocab_size == len(TOKENIZER)
    assert first.config.eos_token_id == TOKENIZER.eos_token_id


def test_dtype():
    assert initial_model(job(policy=TINY, dtype="float64"), TOKENIZER).dtype == torch.float64


def test_dropout_is_off_unless_asked():
    model = ready(initial_model(job(policy=GPT2), TOKENIZER), job(policy=GPT2), CPU)
    assert model.training
    assert {module.p for module in model.modules() if isinstance(module, nn.Dropout)} == {0.0}
    asked = job(policy=GPT2)
    train = dataclasses.replace(asked.spec.train, dropout=True)
    asked = dataclasses.replace(asked, spec=dataclasses.replace(asked.spec, train=train))
    model = ready(initial_model(asked, TOKENIZER), asked, CPU)
    assert 0.1 in {module.p for module in model.modules() if isinstance(module, nn.Dropout)}


@pytest.mark.parametrize("policy", [TINY, GPT2])
def test_saved_and_read_back(tmp_path: Path, policy: dict):
    model = initial_model(job(policy=policy), TOKENIZER)
    save_model(model, model.state_dict(), TOKENIZER, tmp_path)
    assert same(resumed_model(job(policy=policy), TOKENIZER, tmp_path), model)
    assert same(AutoModelForCausalLM.from_pretrained(tmp_path), model)


def test_an_adapter_alone_is_saved_and_read_back(tmp_path: Path):
    section = job(policy=TINY, adapter=LORA)
    model = initial_model(section, TOKENIZER)
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trained
    assert all("lora_" in name and "lm_head" not in name for name in trained)
    with torch.no_grad():
        model.get_parameter(trained[1]).fill_(0.5)
    save_model(model, model.state_dict(), TOKENIZER, tmp_path)
    assert (tmp_path / "adapter_model.safetensors").is_file()
    assert not (tmp_path / "model.safetensors").exists()
    assert same(resumed_model(section, TOKENIZER, tmp_path), model)


def test_an_adapter_on_a_folder_is_kept_or_merged(tmp_path: Path):
    base = initial_model(job(policy=TINY), TOKENIZER)
    save_model(base, base.state_dict(), TOKENIZER, tmp_path / "base")
    section = job(policy=str(tmp_path / "base"), adapter=LORA)
    model = initial_model(section, TOKENIZER)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.1)
    save_model(model, model.state_dict(), TOKENIZER, tmp_path / "adapter")
    ids = torch.arange(3, 9)[None]
    wanted = model(ids).logits
    kept = initial_model(job(policy=str(tmp_path / "adapter"), adapter=LORA | {"start": "policy"}), TOKENIZER)
    under = initial_model(job(policy=str(tmp_path / "adapter"), adapter=LORA), TOKENIZER)
    merged = initial_model(job(policy=str(tmp_path / "adapter")), TOKENIZER)
    torch.testing.assert_close(kept(ids).logits, wanted)
    torch.testing.assert_close(under(ids).logits, wanted, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(merged(ids).logits, wanted, atol=1e-5, rtol=1e-4)
    assert not hasattr(merged, "peft_config")
    assert not torch.allclose(base(ids).logits, wanted)


def test_an_unknown_id_is_a_diagnostic(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(Failure) as caught:
        pretrained("nobody/nothing-like-this", job().spec.model)
    assert caught.value.code == "E601"
    assert caught.value.exit_code == 3
    assert "nobody/nothing-like-this" in caught.value.message
    assert "hf download" in str(caught.value.help)


@pytest.mark.parametrize("contents", [{}, {"config.json": "{"}, {"config.json": '{"model_type": "llama"}'}])
def test_a_broken_folder_is_a_diagnostic(tmp_path: Path, contents: dict[str, str]):
    for name, text in contents.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(Failure) as caught:
        pretrained(str(tmp_path), job().spec.model)
    assert caught.value.code == "E703"
    assert str(tmp_path) in caught.value.message


def test_a_missing_folder_names_the_spec_that_makes_it():
    with pytest.raises(Failure, match="E703") as caught:
        pretrained("/nowhere/model", job().spec.model)
    assert "alignc run" in str(caught.value.help)


def test_adapter_section_is_typed():
    assert job(adapter=LORA).spec.model.adapter == Adapter(**LORA)
