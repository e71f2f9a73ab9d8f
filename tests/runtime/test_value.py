"""DRO's learned value: V of the prompt, on the policy's trunk, kept in a file beside the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, ByT5Tokenizer

from alignc.contract.job import Job, read_job
from alignc.runtime.data import load_examples, settings_from_job
from alignc.runtime.data.example import Example
from alignc.runtime.models.load import initial_model
from alignc.runtime.scoring.micro import choose_layout, loss_inputs, totals_of
from alignc.runtime.scoring.scorer import Scorer

from ..emitted import loss_module
from ..variants import of_spec
from .compiled import log_probabilities, metrics, start, train_script, write_rows
from .forks import Forks
from .test_coupling import moved
from .test_engines import LOOP

DRO = {"preset": "dro", "tau": 0.5}
WIDE = {"dtype": "float64"}


def job(folder: Path, batch: int = 4, accumulation: int = 2, **sections: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    source = write_rows(folder / "rows.jsonl", "pointwise", 19)
    train = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation}
    train |= {"learning_rate": 0.05, "save_steps": 1, "save_total_limit": 9}
    sections = {"model": WIDE} | sections | {"train": train | sections.get("train", {})}
    return train_script(folder, DRO, "pointwise", source, **sections)


def run(forks: Forks, script: Path, *arguments: str) -> list[dict[str, float]]:
    assert forks.run(script, *arguments)["status"] == 0, (script.parents[1] / "status.json").read_text()
    return metrics(script)


def value_of_prompt(model: Any, example: Example) -> torch.Tensor:
    """The head on the hidden state of the prompt's last token, in a forward of the prompt alone."""
    ids = torch.from_numpy(example.prompt.astype(np.int64))[None]
    hidden = model.model(input_ids=ids).last_hidden_state[0, -1]
    return model.value_head(hidden)[0]


def by_hand(model: Any, examples: list[Example], references: list[float]) -> torch.Tensor:
    """The mean of half (tau u + V - reward) squared, row by row."""
    total = torch.zeros((), dtype=torch.float64)
    for example, reference in zip(examples, references, strict=True):
        ids = torch.from_numpy(np.concatenate([example.prompt, example.responses[0]]).astype(np.int64))[None]
        logps = model(ids).logits[0, :-1].log_softmax(-1).gather(-1, ids[0, 1:, None])
        ratio = logps[len(example.prompt) - 1 :].sum() - reference
        reward = example.columns["reward/completion"]
        total = total + 0.5 * (0.5 * ratio + value_of_prompt(model, example) - reward) ** 2
    return total / len(examples)


def gradients(model: Any) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def twin(read: Job) -> Any:
    """The policy with a value head whose weights are not 0, so that its gradient reaches the trunk."""
    model = initial_model(read, ByT5Tokenizer())
    with torch.no_grad():
        torch.manual_seed(1)
        model.value_head.weight.normal_()
    return model


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_the_gradient_is_that_of_a_graph_built_by_hand(tmp_path: Path, layout: str):
    script = job(tmp_path, train={"layout": layout})
    read, tokenizer = read_job(script.with_name("job.json")), ByT5Tokenizer()
    examples = list(load_examples(settings_from_job(read), tokenizer).examples)[:5]
    references = [-3.0 - row for row in range(5)]
    plain, model = twin(read), twin(read)
    wanted = by_hand(plain, examples, references)
    wanted.backward()
    expected = gradients(plain)

    layout = choose_layout(read, model, tokenizer, torch.device("cpu"), None)
    batch = layout.batch(examples)
    found = Scorer(model, outputs=read.needs.outputs)(batch)
    values = [value_of_prompt(twin(read), example).item() for example in examples]
    assert found["value"].tolist() == pytest.approx(values, abs=1e-10)
    spread = [
        np.full(len(e.responses[0]), r / len(e.responses[0]))
        for e, r in zip(examples, references, strict=True)
    ]
    inputs = loss_inputs(read.needs, examples, batch, found, {"initial": [(each,) for each in spread]})
    share, _ = loss_module(of_spec(DRO, "pointwise")).loss(inputs, totals_of(read.needs, examples))
    share.backward()
    assert share.item() == pytest.approx(wanted.item(), rel=1e-10)
    got = gradients(model)
    assert (
        {"value_head.weight", "value_head.bias", "model.embed_tokens.weight"} < got.keys() == expected.keys()
    )
    for name, value in expected.items():
        assert float((got[name] - value).norm() / value.norm()) < 1e-6, name  # Llama's norm rounds to float32


def test_the_logged_loss_is_that_of_the_saved_head(forks: Forks, tmp_path: Path):
    script = job(tmp_path, 19, 1, train={"max_steps": 3})
    logged = run(forks, script)
    for step in (1, 2):
        rows, now, then = log_probabilities(script, step)
        model = AutoModelForCausalLM.from_pretrained(
            script.parents[1] / "checkpoints" / f"step-{step}", dtype=torch.float64
        )
        head = load_file(script.parents[1] / "checkpoints" / f"step-{step}" / "value_head.safetensors")
        model.value_head = torch.nn.Linear(16, 1, dtype=torch.float64)
        model.value_head.load_state_dict(head)
        values = [value_of_prompt(model, row).item() for row in rows]
        terms = zip(rows, now, then, values, strict=True)
        errors = [0.5 * (p[0] - r[0]) + v - row.columns["reward/completion"] for row, p, r, v in terms]
        assert logged[step]["loss"] == pytest.approx(0.5 * float(np.mean(np.square(errors))), rel=1e-9)
    assert max(map(abs, values)) > 0.01


def test_the_model_loads_as_a_language_model_with_no_key_to_spare(forks: Forks, tmp_path: Path):
    script = job(tmp_path, train={"max_steps": 1})
    run(forks, script)
    folder = script.parents[1] / "model"
    _, told = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(told.values()), told
    assert load_file(folder / "value_head.safetensors").keys() == {"weight", "bias"}


def test_a_killed_run_ends_in_the_same_bits(forks: Forks, tmp_path: Path):
    whole, broken = job(tmp_path / "whole"), job(tmp_path / "broken")
    operations = forks.run(whole)["operations"]
    assert forks.run(broken, operation=operations // 2, when="before")["status"] == -9
    run(forks, broken, "--resume")
    for file in ("metrics.jsonl", "model/model.safetensors", "model/value_head.safetensors"):
        assert (broken.parents[1] / file).read_bytes() == (whole.parents[1] / file).read_bytes()


def test_the_best_model_keeps_its_own_head(forks: Forks, tmp_path: Path):
    """The loss falls, and the highest is asked for: the first checkpoint stays the best."""
    held_out = str(write_rows(tmp_path / "held_out.jsonl", "pointwise", 6, reward=0.0))
    best = {"eval_steps": 1, "metric_for_best_model": "loss", "greater_is_better": True}
    script = job(tmp_path, train=best, data={"eval": {"source": held_out}})
    rows = run(forks, script)
    step = max(rows, key=lambda row: row["eval_loss"])["step"]
    assert step < rows[-1]["step"]
    output = script.parents[1]
    head = load_file(output / "model" / "value_head.safetensors")
    expected = load_file(output / "checkpoints" / f"step-{step}" / "value_head.safetensors")
    assert all(torch.equal(head[name], expected[name]) for name in ("weight", "bias"))


def test_an_adapter_leaves_the_head_trained(forks: Forks, tmp_path: Path):
    adapter = {"kind": "lora", "r": 2, "alpha": 4, "target_modules": "all-linear"}
    whole, broken = (job(tmp_path / n, model=WIDE | {"adapter": adapter}) for n in ("whole", "broken"))
    operations = forks.run(whole)["operations"]
    assert forks.run(broken, operation=operations // 2, when="before")["status"] == -9
    run(forks, broken, "--resume")
    head = load_file(whole.parents[1] / "model" / "value_head.safetensors")
    assert head["bias"].abs() > 0
    for file in ("metrics.jsonl", "model/adapter_model.safetensors", "model/value_head.safetensors"):
        assert (broken.parents[1] / file).read_bytes() == (whole.parents[1] / file).read_bytes()


@pytest.mark.engines
def test_two_ranks(forks: Forks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Micro-batches of one row on two ranks, the last batch of three rows, against one process; then resumed."""
    monkeypatch.setenv("ALIGNC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    runs, section = tmp_path / "runs", {"launch": {"num_processes": 2, "timeout": 300}}
    spread = moved(job(tmp_path / "dro", 1, 4, **section), runs / "dro")
    loop = moved(job(tmp_path / "loop", 1, 4, **section), runs / "loop")
    loop.write_text(LOOP)
    outcome = start(loop)
    assert outcome.exit_code == 0, (outcome, (runs / "loop" / "run.log").read_text()[-3000:])
    for wanted, row in zip(run(forks, job(tmp_path / "alone", 8, 1)), metrics(spread), strict=True):
        assert row == pytest.approx(wanted, rel=1e-9, abs=1e-12)
    for file in ("metrics.jsonl", "model/model.safetensors", "model/value_head.safetensors"):
        assert (runs / "dro" / file).read_bytes() == (runs / "kept" / "dro" / file).read_bytes(), file
