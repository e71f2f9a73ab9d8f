from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ByT5Tokenizer

from alignc.runtime.compare import Questions, compare
from alignc.runtime.job import job_from
from alignc.runtime.measure import load_model
from alignc.runtime.models import initial_model, save_model

from .fixtures import job_data

EOS = 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("model")
    tokenizer = ByT5Tokenizer()
    model = initial_model(job_from(job_data("sft", Path("/r"), Path("/o"))), tokenizer)
    save_model(model, model.state_dict(), tokenizer, target)
    return target


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
