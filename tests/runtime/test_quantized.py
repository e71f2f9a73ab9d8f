"""QLoRA: the base in 4 or 8 bits by bitsandbytes, the judge its own dequantized numbers under plain PEFT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from alignc.contract.job import read_job
from alignc.plan.weights import of_folder, spared_bytes
from alignc.runtime.after.export import Wanted, export
from alignc.runtime.after.trained import find
from alignc.runtime.models.adapters import pretrained

from .compiled import metrics, train_script, write_rows
from .forks import Forks
from .peft_folders import base, logits

pytest.importorskip("bitsandbytes")
pytestmark = pytest.mark.filterwarnings("ignore")
KINDS: dict[str, dict[str, Any]] = {
    "nf4": {"bits": 4},
    "fp4": {"bits": 4, "type": "fp4", "double": False},
    "int8": {"bits": 8},
}


def run(forks: Forks, folder: Path, preset: str, kind: str, *arguments: str, **model: Any) -> Path:
    rows = write_rows(folder.parent / f"{kind}.jsonl", kind, 8)
    train = {"max_steps": 2, "save_steps": 1, "optim": "adamw_torch", "learning_rate": 1e-2}
    train |= {"per_device_train_batch_size": 8}
    script = train_script(folder, {"preset": preset}, kind, rows, model=model, train=train)
    for words in arguments or ("",):
        assert forks.run(script, *words.split())["status"] == 0
    return script


def on_numbers(folder: Path, under: Path, asked: dict[str, Any]) -> Any:
    """Read an adapter with PEFT on the base as bitsandbytes dequantizes it."""
    import bitsandbytes.functional as F
    from peft import PeftModel

    few = BitsAndBytesConfig(
        load_in_4bit=asked["bits"] == 4,
        load_in_8bit=asked["bits"] == 8,
        bnb_4bit_quant_type=asked.get("type", "nf4"),
        bnb_4bit_use_double_quant=asked.get("double", True),
    )
    coded = AutoModelForCausalLM.from_pretrained(under, quantization_config=few)
    plain = AutoModelForCausalLM.from_pretrained(under)
    changed = 0
    for name, module in coded.named_modules():
        if type(module).__name__ == "Linear4bit":
            numbers = F.dequantize_4bit(module.weight.data, module.weight.quant_state)
        elif type(module).__name__ == "Linear8bitLt":
            numbers = module.weight.data.float() * module.weight.SCB[:, None] / 127
        else:
            continue
        changed += 1
        with torch.no_grad():
            plain.get_submodule(name).weight.copy_(numbers)
    assert changed == 14
    return PeftModel.from_pretrained(plain, str(folder))


@pytest.mark.parametrize("kind", ["nf4", pytest.param("fp4", marks=pytest.mark.long), "int8"])
def test_lora_on_few_bits_goes_on_and_is_exported_as_trained(forks: Forks, tmp_path: Path, kind: str):
    asked, under = KINDS[kind], base(tmp_path / "base")
    model = {"adapter": {"r": 2}, "quantization": asked}
    sft = run(forks, tmp_path / "sft", "sft", "demonstrations", policy=str(under), **model).parents[1]
    trained = logits(on_numbers(sft / "model", under, asked))
    export(find(sft, None), Wanted(tmp_path / "out"))
    torch.testing.assert_close(
        logits(AutoModelForCausalLM.from_pretrained(tmp_path / "out")), trained, atol=2e-5, rtol=1e-5
    )
    going = {"adapter": {"start": "policy"}, "quantization": asked, "policy": str(sft / "model")}
    dpo = run(forks, tmp_path / "dpo", "dpo", "pairwise", **going)
    assert abs(metrics(dpo)[0]["loss"] - 0.6931472) < 1e-5
    whole = run(forks, tmp_path / "whole", "dpo", "pairwise", policy=str(sft / "model"))
    merged = pretrained(str(sft / "model"), read_job(whole.with_name("job.json")).spec.model)
    torch.testing.assert_close(logits(merged), trained, atol=2e-5, rtol=1e-5)
    assert abs(metrics(whole)[0]["loss"] - 0.6931472) < 1e-5
    first = [metrics(script)[0]["logps/chosen"] for script in (dpo, whole)]
    assert first[0] == pytest.approx(first[1], abs=2e-3)


def test_a_run_on_four_bits_goes_on_to_the_same_bits(forks: Forks, tmp_path: Path):
    model = {"policy": str(base(tmp_path / "base")), "adapter": {"r": 2}, "quantization": {"bits": 4}}
    one = run(forks, tmp_path / "one", "dpo", "pairwise", **model)
    two = run(forks, tmp_path / "two", "dpo", "pairwise", "--max-steps 1", "--resume", **model)
    files = [script.parents[1] / "model" / "adapter_model.safetensors" for script in (one, two)]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_plan_counts_the_bytes_of_few_bits(tmp_path: Path, kind: str):
    under, asked = base(tmp_path / "base"), {"type": "nf4", "double": True} | KINDS[kind]
    weights = of_folder(under, None)
    assert weights is not None
    layers = 2 * (4 * 16 * 16 + 3 * 16 * 32)  # numbers in the matrices of both layers
    blocks = 8 * (16 * 16 // 64) + 6 * (16 * 32 // 64)
    scales = {"nf4": blocks + 4 * 14, "fp4": 4 * blocks, "int8": 4 * 2 * (4 * 16 + 2 * 32 + 16)}[kind]
    assert layers * 4 - spared_bytes(weights, asked) == layers // (2 if asked["bits"] == 4 else 1) + scales
