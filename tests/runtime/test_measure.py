from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ByT5Tokenizer

from alignc.contract.job import job_from
from alignc.runtime.after.measure import load_model, preference, sums
from alignc.runtime.data.example import Example
from alignc.runtime.models.load import initial_model, save_model

from .fixtures import job_data


def rows() -> list[Example]:
    def ids(*values: int) -> np.ndarray:
        return np.array(values, dtype=np.int32)

    return [
        Example(0, "x:1", ids(5, 6), (ids(7, 8, 1), ids(9, 1))),
        Example(1, "x:2", ids(5), (ids(9, 1), ids(9, 1))),
        Example(2, "x:3", ids(6, 6, 6), (ids(7, 1), ids(8, 9, 10, 1))),
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("model")
    tokenizer = ByT5Tokenizer()
    model = initial_model(job_from(job_data("sft", Path("/r"), Path("/o"))), tokenizer)
    save_model(model, model.state_dict(), tokenizer, target)
    return target


def test_sums_are_those_of_plain_forwards(folder: Path):
    model = load_model(str(folder))
    found = sums(model, rows())
    for example, line in zip(rows(), found, strict=True):
        for response, got in zip(example.responses, line, strict=True):
            ids = torch.from_numpy(np.concatenate([example.prompt, response]).astype(np.int64))[None]
            with torch.no_grad():
                logps = model(ids).logits.log_softmax(-1)[0]
            start = len(example.prompt)
            wanted = sum(float(logps[place - 1, ids[0, place]]) for place in range(start, ids.shape[1]))
            assert got == pytest.approx(wanted, abs=1e-5)


def test_preference_counts_ties_as_half(folder: Path):
    model = load_model(str(folder))
    margins = sums(model, rows()) @ np.array([1.0, -1.0])
    found = preference(model, rows())
    wins = int(margins[0] > 0) + int(margins[2] > 0)
    assert margins[1] == 0.0
    assert found.accuracy == pytest.approx((wins + 0.5) / 3)
    assert found.margin == pytest.approx(float(margins.mean()))
    assert found.rows == 3
