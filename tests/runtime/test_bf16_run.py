"""A run that starts from a bfloat16 checkpoint moves what a float32 run moves, at a rate of 1e-6."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, ByT5Tokenizer

from .compiled import train_script, write_rows
from .forks import Forks

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
STEPS = 30


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    process = Forks(tmp_path_factory.mktemp("cache"))
    yield process
    process.close()


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = AutoConfig.for_model("llama", vocab_size=384, num_key_value_heads=2, **sizes)
    AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
    ByT5Tokenizer().save_pretrained(folder)
    return folder


def trained(forks: Forks, folder: Path, **model: Any) -> Path:
    folder.mkdir(parents=True)
    rows = write_rows(folder / "rows.jsonl", "pairwise", 8)
    train = {
        "learning_rate": 1e-6,
        "lr_scheduler_type": "constant",
        "max_steps": STEPS,
        "per_device_train_batch_size": 4,
    }
    script = train_script(folder, {"preset": "dpo"}, "pairwise", rows, model=model, train=train)
    assert forks.run(script)["status"] == 0
    return folder / "run"


def moved(run: Path, start: dict[str, torch.Tensor]) -> float:
    """Give the share of weights that are not what they were."""
    weights = load_file(run / "model" / "model.safetensors")
    changed = sum(int((weights[name].float() != start[name].float()).sum()) for name in start)
    return changed / sum(value.numel() for value in start.values())


def margin(run: Path) -> float:
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    return float(last["rewards/margins"])


def test_it_moves_the_same_weights_and_the_same_margin(forks: Forks, published: Path, tmp_path: Path):
    start = load_file(published / "model.safetensors")
    policy = str(published)
    runs = {
        name: trained(forks, tmp_path / name, policy=policy, **fields)
        for name, fields in (
            ("float32", {"dtype": "float32"}),
            ("as_published", {}),
            ("bfloat16", {"dtype": "bfloat16"}),
        )
    }
    share, gain = moved(runs["float32"], start), margin(runs["float32"])
    assert share > 0.1  # most rows of the embedding are of bytes that no row has
    assert moved(runs["as_published"], start) == pytest.approx(share, rel=0.05)
    assert margin(runs["as_published"]) == pytest.approx(gain, rel=0.05)
    # With products in bfloat16 the weights are float32 as well; the file is what the spec asks for.
    assert margin(runs["bfloat16"]) == pytest.approx(gain, rel=0.05, abs=2e-4)
    assert {v.dtype for v in load_file(runs["bfloat16"] / "model" / "model.safetensors").values()} == {
        torch.bfloat16
    }
    [checkpoint] = (runs["bfloat16"] / "checkpoints").glob("*/model.safetensors")
    kept = load_file(checkpoint)
    assert {v.dtype for v in kept.values()} == {torch.float32}
