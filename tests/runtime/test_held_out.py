from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from transformers import ByT5Tokenizer

import alignc.api as api
from alignc.contract.failure import Failure
from alignc.contract.job import read_job
from alignc.runtime.after.held_out import held_out_metrics
from alignc.runtime.after.measure import load_model, sums
from alignc.runtime.data.dataset import load_examples
from alignc.runtime.data.settings import DataSettings
from alignc.runtime.models.load import initial_model, save_model

INIT = "{init: llama, tokenizer: bytes, hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2}"
DPO = (
    f"objective: {{preset: dpo, beta: 0.5}}\nmodel: {{policy: {INIT}}}\n"
    "data: {kind: pairwise, source: pairs.jsonl, eval: {source: held.jsonl}}\ntrain: {max_length: 32, seed: %d}\n"
    "output_dir: %s\n"
)
RLOO = (
    f"objective: {{preset: rloo}}\nmodel: {{policy: {INIT}}}\n"
    "data: {kind: prompts, source: prompts.jsonl, eval: {source: prompts.jsonl}, completions_per_prompt: 2,\n"
    "  max_new_tokens: 4, reward: {kind: verifier, name: length, limit: 100}}\n"
    "train: {max_length: 32, per_device_train_batch_size: 2}\noutput_dir: online\n"
)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALIGNC_CACHE", str(tmp_path / "cache"))
    for name in ("pairs", "held"):
        rows = [
            {"prompt": f"{n}+{len(name)}=", "chosen": f"{n}{name}", "rejected": f"{n * 7}"} for n in range(3)
        ]
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("prompts.jsonl").write_text('{"prompt": "1+1="}\n{"prompt": "2+1="}\n')


def finished(spec: str, output: str, *, seed: int = 42) -> Path:
    """Leave a run's job, and as its model the policy as it begins, drawn from a seed."""
    Path("spec.yaml").write_text(spec)
    api.compile("spec.yaml", f"{output}/job")
    job, tokenizer = read_job(Path(output) / "job" / "job.json"), ByT5Tokenizer()
    if seed != job.spec.train.seed:
        Path("other.yaml").write_text(DPO % (seed, "other"))
        api.compile("other.yaml", "other/job")
        job = read_job(Path("other/job/job.json"))
    model = initial_model(job, tokenizer)
    save_model(model, model.state_dict(), tokenizer, Path(output) / "model")
    return Path(output).resolve()


def test_a_policy_like_its_reference_has_the_loss_of_step_0():
    found = held_out_metrics(finished(DPO % (42, "run"), "run"))
    assert found["eval_loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert found["eval_rewards/margins"] == pytest.approx(0.0, abs=1e-6)


def test_the_reference_stays_the_model_that_training_began_with():
    run = finished(DPO % (42, "run"), "run", seed=7)
    settings = DataSettings("pairwise", "held.jsonl", responses=("chosen", "rejected"), max_length=32)
    examples = load_examples(settings, ByT5Tokenizer()).examples
    began = finished(DPO % (42, "began"), "began")
    policy, reference = (sums(load_model(str(f / "model")), examples) for f in (run, began))
    gaps = (policy - reference) @ np.array([0.5, -0.5])
    found = held_out_metrics(run)
    assert found["eval_rewards/margins"] == pytest.approx(gaps.mean(), abs=1e-5)
    assert found["eval_loss"] == pytest.approx(np.log1p(np.exp(-gaps)).mean(), abs=1e-5)
    assert sorted(p.name for p in run.iterdir()) == ["job", "model"]  # nothing of the run is written over


def test_an_online_run_answers_its_held_out_prompts():
    found = held_out_metrics(finished(RLOO, "online"))
    assert found["eval_objective/scores"] == 1.0  # no answer of four tokens is longer than 100 characters
    assert found["eval_objective/kl"] == pytest.approx(0.0, abs=1e-6)


def test_without_rows_held_out_there_is_nothing_to_ask():
    with pytest.raises(Failure, match="has no held-out rows"):
        held_out_metrics(finished((DPO % (42, "run")).replace(", eval: {source: held.jsonl}", ""), "run"))
