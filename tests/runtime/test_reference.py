from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import ByT5Tokenizer

from alignc.contract.cache import cache_folder
from alignc.contract.job import Job, job_from
from alignc.runtime.data.example import Example
from alignc.runtime.models.load import initial_model, ready
from alignc.runtime.scoring import reference
from alignc.runtime.scoring.micro import BatchLayout, choose_layout
from alignc.runtime.scoring.reference import chunks, model_key, read_rows, reference_log_probs

from .fixtures import job_data

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)  # peft

CPU = torch.device("cpu")
LORA = {"kind": "lora", "r": 2, "alpha": 4.0, "dropout": 0.0, "target_modules": "all-linear"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ALIGNC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(reference, "CHUNK_TOKENS", 40)
    monkeypatch.setattr(reference.chunks, "__defaults__", (40,))
    return tmp_path / "cache"


def rows(count: int = 12) -> list[Example]:
    draw = np.random.default_rng(0)

    def ids(length: int) -> np.ndarray:
        return draw.integers(3, 300, length).astype(np.int32)

    return [Example(n, f"x:{n}", ids(3 + n % 3), (ids(2 + n % 4), ids(3))) for n in range(count)]


def make(**options) -> tuple[Job, nn.Module, BatchLayout]:
    job = job_from(job_data("dpo", Path("/r"), Path("/o"), **options))
    tokenizer = ByT5Tokenizer()
    model = ready(initial_model(job, tokenizer), job, CPU)
    return job, model, choose_layout(job, model, tokenizer, CPU, None)


def plain(model: nn.Module, example: Example) -> list[np.ndarray]:
    """Log-probabilities by a forward a response, and a log-softmax over everything."""
    found = []
    for response in example.responses:
        ids = torch.from_numpy(np.concatenate([example.prompt, response]).astype(np.int64))[None]
        with torch.no_grad():
            logps = model(ids).logits.log_softmax(-1)
        start = len(example.prompt)
        places = torch.arange(start - 1, ids.shape[1] - 1)
        found.append(logps[0, places, ids[0, start:]].numpy())
    return found


def stored(key: str, examples: list[Example]) -> list[tuple[np.ndarray, ...]]:
    found = read_rows(cache_folder() / "reference" / key, examples)
    assert found is not None
    return found


def test_values_are_the_models_own():
    job, model, layout = make()
    examples = rows()
    key = reference_log_probs(job, examples, model, layout)
    for example, found in zip(examples, stored(key, examples), strict=True):
        for wanted, got in zip(plain(model, example), found, strict=True):
            np.testing.assert_allclose(got, wanted, atol=2e-6)
    assert model.training


def test_chunks_are_a_function_of_the_lengths():
    examples = rows()
    cut = chunks(examples)
    assert [example for chunk in cut for example in chunk] == examples
    assert len(cut) > 3
    lengths = [sum(len(e.prompt) + sum(map(len, e.responses)) for e in chunk) for chunk in cut]
    assert max(lengths) <= 40


def test_ranks_and_kills_do_not_change_a_bit(cache: Path):
    job, model, layout = make()
    examples = rows()
    whole = stored(reference_log_probs(job, examples, model, layout), examples)
    files = {path.name: path.read_bytes() for path in cache.rglob("*.safetensors")}
    for path in cache.rglob("*.safetensors"):
        path.unlink()
    left = [2]

    def stop_after_two() -> bool:
        left[0] -= 1
        return left[0] >= 0

    key = reference_log_probs(job, examples, model, layout, rank=1, world=2, each=stop_after_two)
    assert read_rows(cache / "reference" / key, examples) is None
    for rank in (0, 1):
        reference_log_probs(job, examples, model, layout, rank=rank, world=2)
    assert {path.name: path.read_bytes() for path in cache.rglob("*.safetensors")} == files
    for one, two in zip(whole, stored(key, examples), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_a_torn_file_is_made_again(cache: Path):
    job, model, layout = make()
    examples = rows()
    key = reference_log_probs(job, examples, model, layout)
    path = min(cache.rglob("*.safetensors"))
    before = path.read_bytes()
    path.write_bytes(before[: len(before) // 2])
    assert read_rows(cache / "reference" / key, examples) is None
    reference_log_probs(job, examples, model, layout)
    assert path.read_bytes() == before


def test_a_second_run_computes_nothing(monkeypatch: pytest.MonkeyPatch):
    job, model, layout = make()
    examples = rows()
    reference_log_probs(job, examples, model, layout)
    monkeypatch.setattr(BatchLayout, "batch", lambda *_: pytest.fail("a forward was made"))
    reference_log_probs(job, examples, model, layout)


def test_the_key_is_what_decides_the_values():
    _, model, layout = make()
    _, again, _ = make()
    key = model_key(model, layout)
    assert model_key(again, layout) == key
    _, padded, other = make(layout="padded")
    assert model_key(padded, other) != key
    with torch.no_grad():
        next(model.parameters())[0, 0] += 1e-3
    assert model_key(model, layout) != key


def test_the_adapter_is_switched_off():
    options = {"adapter": LORA, "reference": {"kind": "adapter_off", "path": None}}
    job, model, layout = make(model=options)
    examples = rows(4)
    base = [plain(model, example) for example in examples]  # a fresh adapter changes nothing
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.5)
    assert not np.allclose(plain(model, examples[0])[0], base[0][0])
    found = stored(reference_log_probs(job, examples, model, layout), examples)
    for wanted, got in zip(base, found, strict=True):
        for one, two in zip(wanted, got, strict=True):
            np.testing.assert_allclose(two, one, atol=2e-6)
