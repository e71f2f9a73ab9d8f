"""Averages and snapshots of the policy's weights: what is kept, what it computes, and that nothing else moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import ByT5Tokenizer

from alignc.contract.failure import Failure
from alignc.launch import launch
from alignc.runtime.models.ema import averaged, read_kept, snapshot, write_kept
from alignc.runtime.models.load import initial_model
from alignc.runtime.scoring.outputs import score_rows

from .fixtures import write_job
from .test_critic import ADAPTER, COPY, EXAMPLES, HEAD, data, job, made, scatter

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)  # peft


def whole(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_an_average_is_what_its_definition_sums_to(tmp_path: Path):
    """After steps to w1, w2, w3 from w0: d^3 w0 + (1 - d)(d^2 w1 + d w2 + w3)."""
    model, _ = made(job(tmp_path, None, model={"dtype": "float64"}))
    kept, seen = averaged(model), [whole(model)]
    for step in range(3):
        scatter(model, step)
        kept.update(model, 0.9)
        seen.append(whole(model))
    for name, value in kept.values.items():
        expected = 0.9**3 * seen[0][name] + 0.1 * (0.81 * seen[1][name] + 0.9 * seen[2][name] + seen[3][name])
        torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)
    assert {"value_head.weight", "value_head.bias"} == model.state_dict().keys() - kept.values.keys() - {
        "lm_head.weight"
    }


@pytest.mark.parametrize("critic", [HEAD, COPY], ids=["head", "model"])
def test_only_an_adapter_is_kept_of_an_adapted_model(tmp_path: Path, critic: Any):
    model, _ = made(job(tmp_path, critic, model={"adapter": ADAPTER}))
    names = averaged(model).values.keys()
    assert names == {name for name in model.state_dict() if ".lora_" in name}


@pytest.mark.parametrize("adapter", [None, ADAPTER], ids=["full", "lora"])
def test_lent_weights_compute_and_go_back(tmp_path: Path, adapter: Any):
    read = job(tmp_path, COPY, model={"adapter": adapter})
    model, layout = made(read)
    before = score_rows(model, EXAMPLES, [[0, 1, 2]], layout)
    kept = snapshot(model)
    scatter(model)
    own, after = whole(model), score_rows(model, EXAMPLES, [[0, 1, 2]], layout)
    places = [p.data_ptr() for p in model.parameters()]
    with kept.lent(model):
        again = score_rows(model, EXAMPLES, [[0, 1, 2]], layout)
    for old, moved, lent in zip(before, after, again, strict=True):
        assert (old[0] == lent[0]).all() == (adapter is None)  # the base of an adapter was moved here too
        assert (moved[0] != lent[0]).any()
    assert all(torch.equal(value, own[name]) for name, value in model.state_dict().items())
    assert [p.data_ptr() for p in model.parameters()] == places


def test_a_failure_inside_gives_the_weights_back(tmp_path: Path):
    model, _ = made(job(tmp_path, HEAD))
    kept = snapshot(model)
    scatter(model)
    own = whole(model)
    with pytest.raises(KeyboardInterrupt), kept.lent(model):
        raise KeyboardInterrupt
    assert all(torch.equal(value, own[name]) for name, value in model.state_dict().items())


def test_narrow_weights_are_averaged_wide(tmp_path: Path):
    """In bfloat16 a move of 1/512 of a weight of 1 by a share of 0.01 would be lost."""
    model, _ = made(job(tmp_path, HEAD, optim="adamw_bf16_stochastic", model={"dtype": "bfloat16"}))
    torch.nn.init.ones_(model.lm_head.weight)
    kept = averaged(model)
    torch.nn.init.constant_(model.lm_head.weight, 1 - 2**-8)
    kept.update(model, 0.99)
    assert kept.values["lm_head.weight"][0, 0].item() == pytest.approx(1 - 0.01 * 2**-8, abs=1e-7)
    with kept.lent(model):
        assert model.lm_head.weight.dtype == torch.bfloat16


def test_a_saved_average_goes_on_in_the_same_bits(tmp_path: Path):
    read = job(tmp_path, COPY)
    model, layout = made(read)
    kept = averaged(model)
    for step in range(4):
        scatter(model, step)
        kept.update(model, 0.9)
        if step == 1:
            write_kept(kept, tmp_path)
            again, twin = read_kept(model, tmp_path), whole(model)
    other = initial_model(read, ByT5Tokenizer())
    other.load_state_dict(twin)
    for step in (2, 3):
        scatter(other, step)
        again.update(other, 0.9)
    assert all(torch.equal(value, kept.values[name]) for name, value in again.values.items())
    with kept.lent(model):
        one = score_rows(model, EXAMPLES, [[0, 1, 2]], layout)
    with again.lent(model):
        two = score_rows(model, EXAMPLES, [[0, 1, 2]], layout)
    assert all((a[0] == b[0]).all() for a, b in zip(one, two, strict=True))


def test_an_average_of_another_model_is_refused(tmp_path: Path):
    model, _ = made(job(tmp_path, HEAD))
    with pytest.raises(Failure) as missing:
        read_kept(model, tmp_path)
    assert missing.value.code == "E805"
    write_kept(averaged(made(job(tmp_path, HEAD, model={"adapter": ADAPTER}))[0]), tmp_path)
    with pytest.raises(Failure, match="another model"):
        read_kept(model, tmp_path)


LENDING = """
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import ByT5Tokenizer

from alignc.runtime.train.run_job import run_job
from alignc.runtime.data.example import Example
from alignc.launch import launch
from alignc.runtime.models.ema import averaged
from alignc.runtime.engines.engine import build_engine
from alignc.runtime.scoring.micro import choose_layout
from alignc.runtime.models.load import initial_model, narrow_for_zero, ready
from alignc.runtime.models.precision import autocast_dtype
from alignc.runtime.scoring.scorer import Scorer
from alignc.runtime.scoring.outputs import score_rows
from alignc.runtime.ranks.world import start

HERE = Path(__file__).resolve().parent


def trained(run, world, lend):
    "Take three steps; let the average be scored after each, or not."
    job, tokenizer = run.job, ByT5Tokenizer()
    model = ready(initial_model(job, tokenizer), job, world.device)
    _, autocast = narrow_for_zero(job, model, autocast_dtype(job, model, world.device))
    layout = choose_layout(job, model, tokenizer, world.device, autocast)
    scorer = Scorer(model, outputs=job.needs.outputs)
    engine, kept, seen = build_engine(job, run.folder, world, scorer, model), averaged(model), []
    rows = [Example(0, "x", np.array([5, 6 + world.rank]), (np.array([9, 8, 1]),), {})]
    for _ in range(3):
        with engine.accumulate(last=True):
            found = engine.scorer(layout.batch(rows))
            share = (found["token_value"] - 1).square().sum() - found["logps"].double().sum() - found["entropy"].sum()
            engine.backward(share, last=True)
        engine.gradient_norm()
        engine.step(0.1)
        kept.update(model, 0.5)
        if lend:
            with kept.lent(model):
                seen.append(score_rows(scorer, rows, [[0]], layout)[0][0])
    return {**engine.weights(), **kept.values}, seen


def main(run):
    world = start(run.job.spec.launch)
    (plain, _), (lent, seen) = (trained(run, world, lend) for lend in (False, True))
    assert plain.keys() == lent.keys()
    assert all(torch.equal(value, lent[name]) for name, value in plain.items())
    assert (seen[0] != seen[2]).any()
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


sys.exit(run_job(HERE, main, []))
"""


@pytest.mark.engines
@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_lending_leaves_what_zero_trains_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    section = {"num_processes": 2, "engine": "deepspeed", "mixed_precision": precision, "timeout": 300}
    folder = write_job(tmp_path / "run" / "job", data(tmp_path, COPY, section, learning_rate=0.1))
    (folder / "train.py").write_text(LENDING)
    outcome = launch(folder, fingerprint="", show=lambda line: None)
    assert outcome.exit_code == 0, (outcome, (tmp_path / "run" / "run.log").read_text()[-3000:])
