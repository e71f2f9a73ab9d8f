from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, ByT5Tokenizer

from alignc.plan.shapes import BYTES_VOCABULARY, parameters
from alignc.plan.weights import adapter_shapes, of_folder, of_init, of_source

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")

LLAMA = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4}
GPT2 = {"n_embd": 24, "n_layer": 2, "n_head": 4, "n_positions": 32}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("llama", LLAMA),
    ("llama", {**LLAMA, "num_key_value_heads": 2, "tie_word_embeddings": True, "attention_bias": True}),
    ("llama", {**LLAMA, "head_dim": 10, "mlp_bias": True}),
    ("mistral", {**LLAMA, "num_key_value_heads": 2}),
    ("qwen2", {**LLAMA, "num_key_value_heads": 2}),
    ("qwen2", LLAMA),
    ("qwen3", {**LLAMA, "num_key_value_heads": 1, "tie_word_embeddings": True}),
    ("gpt2", GPT2),
    ("gpt2", {**GPT2, "n_inner": 50}),
]


def model(architecture: str, fields: dict[str, Any], rewards: bool = False) -> Any:
    config = AutoConfig.for_model(architecture, vocab_size=BYTES_VOCABULARY, **fields)
    if rewards:
        config.num_labels = 1
    kind = AutoModelForSequenceClassification if rewards else AutoModelForCausalLM
    with torch.device("meta"):
        return kind.from_config(config)


def real(model: Any) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in model.named_parameters()}


@pytest.mark.parametrize(("architecture", "fields"), CASES)
@pytest.mark.parametrize("rewards", [False, True])
def test_every_weight_is_known_by_name_and_shape(architecture: str, fields: dict[str, Any], rewards: bool):
    expected = real(model(architecture, fields, rewards))
    assert parameters(architecture, fields, BYTES_VOCABULARY, rewards=rewards) == expected


def test_the_bytes_tokenizer_has_as_many_tokens():
    assert len(ByT5Tokenizer()) == BYTES_VOCABULARY


@pytest.mark.parametrize(("architecture", "fields"), [CASES[1], CASES[-1]])
@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "c_attn"]])
def test_adapters_have_as_many_weights(architecture: str, fields: dict[str, Any], targets: Any):
    from peft import LoraConfig, get_peft_model

    whole = model(architecture, fields)
    names = {"llama": ["q_proj"], "gpt2": ["c_attn"]}[architecture] if isinstance(targets, list) else targets
    fan = architecture == "gpt2"
    adapted = get_peft_model(
        whole, LoraConfig(r=3, target_modules=names, task_type="CAUSAL_LM", fan_in_fan_out=fan)
    )
    expected = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    shapes = adapter_shapes(
        of_init({"init": architecture, **fields}, None), {"r": 3, "target_modules": targets}
    )
    assert sum(a * b for a, b in shapes.values()) == expected


def test_a_folder_is_counted_from_its_headers(tmp_path: Path):
    config = AutoConfig.for_model("llama", vocab_size=50, **LLAMA)
    made = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    made.save_pretrained(tmp_path)
    found = of_folder(tmp_path, None)
    assert found is not None
    assert (found.number, found.width, found.sure) == (made.num_parameters(), 2, "exact")
    assert dict(found.shapes) == real(made)
    assert found.layout is not None
    assert (found.layout.vocabulary, found.layout.layers) == (50, 2)


def test_what_is_not_here_is_said_to_be_unknown(tmp_path: Path):
    hub = of_source("org/model", None)
    assert (hub.number, hub.sure, hub.bytes) == (None, "unknown", 0)
    assert of_source("org/model", 2, given=500).bytes == 1000
    later = of_source(str(tmp_path / "model"), None, maker=lambda folder: {"init": "gpt2", **GPT2})
    assert (later.number, later.sure) == (of_init({"init": "gpt2", **GPT2}, None).number, "exact")
