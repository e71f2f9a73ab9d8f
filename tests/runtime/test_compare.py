from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ByT5Tokenizer

from alignc.contract.job import job_from
from alignc.runtime.after.compare import Questions, compare
from alignc.runtime.after.measure import load_model
from alignc.runtime.models.load import initial_model, save_model

from .fixtures import job_data

EOS = 1


def saved(target: Path, seed: int) -> Path:
    tokenizer = ByT5Tokenizer()
    model = initial_model(job_from(job_data("sft", Path("/r"), Path("/o"), seed=seed)), tokenizer)
    save_model(model, model.state_dict(), tokenizer, target)
    return target


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("model"), 1)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("other"), 2)


def greedy(folder: Path, prompt: str, longest: int) -> list[int]:
    """Answer a prompt token by token, without a cache."""
    model, ids, found = load_model(str(folder)), [byte + 3 for byte in prompt.encode()], list[int]()
    while len(found) < longest:
        with torch.no_grad():
            found.append(int(model(torch.tensor([ids + found])).logits[0, -1].argmax()))
        if found[-1] == EOS:
            return found[:-1]
    return found


def test_answers_are_measured_in_tokens_and_by_the_verifier(folder: Path, tmp_path: Path):
    answers = [greedy(folder, prompt, 6) for prompt in ("1+1=", "40")]
    right = ByT5Tokenizer().decode(answers[0], skip_special_tokens=True)
    rows = [{"prompt": "1+1=", "answer": right}, {"prompt": "40", "answer": "no model says this"}]
    file = tmp_path / "prompts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = compare([folder], Questions(prompts=str(file), verifier="exact_match", max_new_tokens=6))[0]
    assert found.length == np.mean([len(ids) for ids in answers])
    assert found.quality == 0.5


def test_rewards_are_log_ratios_to_the_first_model(folder: Path, other: Path, tmp_path: Path):
    pairs = [("1+1=", "2", "3"), ("2+2=", "4", "55"), ("3+3=", "6", "7")]
    rows = [{"prompt": p, "chosen": w, "rejected": l} for p, w, l in pairs]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    first, second = compare([folder, other], Questions(pairs=str(file)))
    gaps = [
        [logp(each, p, w) - logp(each, p, l) for p, w, l in pairs]
        for each in (load_model(str(folder)), load_model(str(other)))
    ]
    rewards = np.array(gaps[1]) - np.array(gaps[0])
    assert first.reward_accuracy is None
    assert first.reward_margin == 0.0
    assert second.reward_accuracy == np.mean(rewards > 0)
    assert second.reward_margin == pytest.approx(rewards.mean(), abs=1e-5)


def logp(model: torch.nn.Module, prompt: str, response: str) -> float:
    ids = [byte + 3 for byte in (prompt + response).encode()] + [EOS]
    with torch.no_grad():
        found = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return sum(float(found[place - 1, ids[place]]) for place in range(len(prompt), len(ids)))
