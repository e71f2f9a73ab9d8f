"""Reward models: scored at the last token, as the architecture's own classifier scores each sequence alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from alignc.contract.job import read_job
from alignc.runtime.data import load_examples, settings_from_job
from alignc.runtime.data.example import Example
from alignc.runtime.data.tokenizer import load_tokenizer
from alignc.runtime.kernels.attention import use_packed
from alignc.runtime.scoring.micro import BatchLayout
from alignc.runtime.scoring.rewards import RewardScorer

from .compiled import TINY, metrics, train_script, write_rows
from .forks import Forks

SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": SMALL | {"num_key_value_heads": 2},
    "qwen2": SMALL | {"num_key_value_heads": 1},
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32},
}
ROWS = [([3, 9, 4], [5, 6, 1], [8, 1]), ([2], [1], [6, 4, 4, 1]), ([7, 7], [5, 1], [1])]
EXAMPLES = [
    Example(i, f"x:{i}", np.array(p, np.int32), tuple(np.array(r, np.int32) for r in rs), {})
    for i, (p, *rs) in enumerate(ROWS)
]
REWARDS = {"preset": "reward_model"}
LORA = {"kind": "lora", "r": 2, "alpha": 4, "target_modules": "all-linear"}


def classifier(architecture: str) -> Any:
    config = AutoConfig.for_model(architecture, vocab_size=12, pad_token_id=0, **ARCHITECTURES[architecture])
    config.num_labels = 1
    torch.manual_seed(3)
    return AutoModelForSequenceClassification.from_config(config, dtype=torch.float64).eval()


def gradients(model: Any, scores: torch.Tensor) -> dict[str, torch.Tensor]:
    """The gradient of a weighted sum, every score with a weight of its own."""
    (scores * torch.arange(1.0, scores.numel() + 1).view_as(scores)).sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_scores_and_gradients_are_those_of_each_sequence_alone(architecture: str, packed: bool):
    alone, model = classifier(architecture), classifier(architecture)
    sequences = [[prompt + response for response in responses] for prompt, *responses in ROWS]
    expected = torch.stack(
        [torch.stack([alone(torch.tensor([ids])).logits[0, 0] for ids in row]) for row in sequences]
    )
    if packed:
        use_packed(model)
    layout = BatchLayout(packed, 0, torch.device("cpu"), None, torch.float64, whole=True)
    found = RewardScorer(model)(layout.batch(EXAMPLES))["score"]
    assert found.std() > 1e-3
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    wanted = gradients(alone, expected)
    got = gradients(model, found)
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        limit = 1e-11 if architecture == "gpt2" else 1e-6  # the others' norms round to float32
        assert float((got[name] - value).norm()) <= limit * float(value.norm()) + 1e-12, name


def train(forks: Forks, script: Path, *arguments: str, **death: Any) -> list[dict[str, float]]:
    answer = forks.run(script, *arguments, **death)
    assert answer["status"] == 0, (script.parents[1] / "status.json").read_text()
    return metrics(script)


def job(folder: Path, **sections: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    pairs, held_out = (write_rows(folder / f"{name}.jsonl", "pairwise", 12) for name in ("pairs", "held_out"))
    settings = {"per_device_train_batch_size": 4, "eval_steps": 2, "save_steps": 1, "num_train_epochs": 2}
    data = {"eval": {"source": str(held_out)}}
    return train_script(folder, REWARDS, "pairwise", pairs, data=data, train=settings, **sections)


def own_figures(script: Path) -> dict[str, float]:
    """Accuracy, margin and mean over the held-out rows, by transformers alone."""
    read = read_job(script.with_name("job.json"))
    tokenizer = load_tokenizer(read.spec.model, None)
    held_out = load_examples(settings_from_job(read), tokenizer, which="eval").examples
    model = AutoModelForSequenceClassification.from_pretrained(script.parents[1] / "model").eval()
    scores = []
    for row in held_out:
        ids = [
            torch.from_numpy(np.concatenate([row.prompt, y]).astype(np.int64))[None] for y in row.responses
        ]
        with torch.no_grad():
            scores.append([float(model(each).logits[0, 0]) for each in ids])
    chosen, rejected = np.array(scores).T
    return {
        "eval_accuracy": float((chosen > rejected).mean()),
        "eval_margin": float((chosen - rejected).mean()),
        "eval_mean_reward": float((chosen + rejected).mean() / 2),
        "eval_loss": float(np.log1p(np.exp(rejected - chosen)).mean()),
    }


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gpt2"])
def test_the_final_model_gives_the_logged_figures(forks: Forks, tmp_path: Path, architecture: str):
    policy = {"init": architecture, "tokenizer": "bytes", **ARCHITECTURES[architecture]}
    policy |= {"n_positions": 64} if architecture == "gpt2" else {}
    script = job(tmp_path, model={"policy": policy})
    last = train(forks, script)[-1]
    assert {name: last[name] for name in own_figures(script)} == pytest.approx(own_figures(script), abs=1e-5)
    card = (script.parents[1] / "model" / "README.md").read_text()
    assert "pipeline_tag: text-classification" in card
    assert "AutoModelForSequenceClassification.from_pretrained" in card


def test_it_starts_from_a_language_model_and_resumes_to_the_bit(forks: Forks, tmp_path: Path):
    source = write_rows(tmp_path / "sft.jsonl", "demonstrations", 4)
    sft = train_script(tmp_path / "sft", {"preset": "sft"}, "demonstrations", source, train={"max_steps": 1})
    train(forks, sft)
    policy = {"model": {"policy": str(sft.parents[1] / "model")}}
    whole, broken = job(tmp_path / "whole", **policy), job(tmp_path / "broken", **policy)
    operations = forks.run(whole)["operations"]
    assert forks.run(broken, operation=operations // 2, when="before")["status"] == -9
    train(forks, broken, "--resume")
    for file in ("metrics.jsonl", "model/model.safetensors"):
        assert (broken.parents[1] / file).read_bytes() == (whole.parents[1] / file).read_bytes()
    expected = own_figures(whole)
    assert {name: metrics(whole)[-1][name] for name in expected} == pytest.approx(expected, abs=1e-5)


def test_an_adapter_on_a_reward_model(forks: Forks, tmp_path: Path):
    """The adapter's folder holds the head too, and goes on to the bit."""
    whole, broken = (
        job(tmp_path / n, model={"adapter": LORA, "policy": TINY | {"init": "qwen2"}})
        for n in ("whole", "broken")
    )
    operations = forks.run(whole)["operations"]
    assert forks.run(broken, operation=operations // 2, when="before")["status"] == -9
    train(forks, broken, "--resume")
    files = ("metrics.jsonl", "model/adapter_model.safetensors")
    for file in files:
        assert (broken.parents[1] / file).read_bytes() == (whole.parents[1] / file).read_bytes()
    rows = metrics(whole)
    assert rows[-1]["eval_loss"] != pytest.approx(rows[1]["eval_loss"], rel=1e-6)
