"""Losses whose rows read other rows: one value for every split, equal to hand computation, resumed to the bit."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

import alignc.api
from alignc.contract.failure import Failure
from alignc.runtime.data.example import Example
from alignc.runtime.data.mismatch import with_mismatched
from alignc.runtime.scoring.statistics import matched

from .compiled import log_probabilities, metrics, spec_file, start, state, train_script, write_rows
from .forks import Forks
from .test_engines import LOOP

OBJECTIVES: dict[str, tuple[dict[str, Any], str]] = {
    "kto": ({"preset": "kto", "beta": 0.5, "desirable_weight": 3}, "pointwise"),
    "kto-pairs": ({"preset": "kto", "beta": 0.5, "desirable_weight": 3}, "pairwise"),
    "bco": ({"preset": "bco", "beta": 0.5}, "pointwise"),
    "bco-pairs": ({"preset": "bco", "beta": 0.5}, "pairwise"),
    "aot": ({"preset": "aot", "beta": 0.5}, "pairwise"),
}
ALSO: dict[str, tuple[dict[str, Any], str]] = {  # not coupled, but with outputs of their own
    "reward_model": ({"preset": "reward_model", "center": 0.1}, "pairwise"),
    "wpo": ({"preset": "wpo"}, "pairwise"),
    "copg": ({"preset": "copg"}, "scored"),
    "dro": ({"preset": "dro", "tau": 0.1}, "pointwise"),
}
SPLITS = [(8, 1), (4, 2), (2, 4)]
ROWS = 19  # the last batch has three rows
WIDE = {"model": {"dtype": "float64"}}


def job(folder: Path, name: str, batch: int, accumulation: int, *, rows: int = ROWS, **sections: Any) -> Path:
    objective, kind = (OBJECTIVES | ALSO)[name]
    folder.mkdir(parents=True, exist_ok=True)
    source = write_rows(folder / "rows.jsonl", kind, rows)
    train = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation}
    train |= {"per_device_eval_batch_size": batch, "save_steps": 1, "save_total_limit": 9}
    sections = WIDE | sections | {"train": train | sections.get("train", {})}
    return train_script(folder, objective, kind, source, **sections)


def run(forks: Forks, script: Path, *arguments: str) -> list[dict[str, float]]:
    answer = forks.run(script, *arguments)
    assert answer["status"] == 0, (script.parents[1] / "crash.log").read_text()
    return metrics(script)


def weights(script: Path, folder: str = "model") -> dict[str, torch.Tensor]:
    return load_file(script.parents[1] / folder / "model.safetensors")


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_split_gives_the_same(forks: Forks, tmp_path: Path, name: str):
    data = {"data": {"eval": {"fraction": 0.3}}}
    scripts = [job(tmp_path / f"{b}x{a}", name, b, a, rows=27, **data) for b, a in SPLITS]
    first, *others = [run(forks, script) for script in scripts]
    assert len(first) == 3
    assert first[1]["loss"] != pytest.approx(first[0]["loss"], rel=1e-6)  # it has moved
    for other in others:
        for wanted, row in zip(first, other, strict=True):
            assert row == pytest.approx(wanted, rel=1e-9, abs=1e-12)
    for script in scripts[1:]:
        for key, value in weights(scripts[0]).items():
            torch.testing.assert_close(weights(script)[key], value, rtol=0, atol=1e-11)


# ---- against hand computation: one batch a step, which is the whole of the data ------------------------------------


def log_ratios(script: Path, step: int) -> tuple[list[Example], np.ndarray, np.ndarray]:
    """The rows, and the log-probabilities of their responses under the policy after a step and at the start."""
    rows, now, then = log_probabilities(script, step)
    return rows, np.array(now), np.array(then)


@pytest.mark.parametrize("name", ["kto", "kto-pairs"])
def test_the_reference_point_is_the_mean_log_ratio_of_mismatched_responses(forks, tmp_path, name: str):
    script = job(tmp_path, name, 2, 3, rows=6, train={"max_steps": 4})
    logged = run(forks, script)
    assert logged[0]["kl"] == 0.0
    points = []
    for step in (1, 2, 3):
        rows, now, then = log_ratios(script, step)
        ratio = now - then
        points.append(max(0.0, ratio[:, -1].mean()))
        assert logged[step]["kl"] == pytest.approx(points[-1], abs=1e-9)
        z = 0.5 * (ratio[:, :-1] - points[-1])
        if name == "kto":
            good = np.array([row.columns["label"] for row in rows])
            assert 0 < good.sum() < 6
            z, weight = (2 * good - 1)[:, None] * z, (1 + 2 * good)[:, None]
            assert logged[step]["rewards/chosen"] == pytest.approx(0.5 * ratio[good == 1, 0].mean(), abs=1e-9)
            assert logged[step]["rewards/rejected"] == pytest.approx(
                0.5 * ratio[good == 0, 0].mean(), abs=1e-9
            )
        else:
            z, weight = z * np.array([1, -1]), np.array([3, 1])
        value = (weight * (1 - 1 / (1 + np.exp(-z)))).sum(axis=1).mean()
        assert logged[step]["loss"] == pytest.approx(value, abs=1e-9)
    assert max(points) > 0.01


def test_the_running_mean_is_over_every_reward_so_far(forks: Forks, tmp_path: Path):
    script = job(tmp_path, "bco-pairs", 3, 2, rows=6, train={"max_steps": 4})
    logged = run(forks, script)
    seen = [np.zeros((6, 2))]  # at step 1 every reward is 0
    for step in (1, 2, 3):
        _, now, then = log_ratios(script, step)
        seen.append(0.5 * (now - then))
        delta = float(np.mean(seen))
        assert logged[step]["delta"] == pytest.approx(delta, abs=1e-9)
        z = (seen[-1] - delta) * np.array([1, -1])
        assert logged[step]["loss"] == pytest.approx(np.log1p(np.exp(-z)).sum(axis=1).mean(), abs=1e-9)
    assert abs(delta) > 0.01
    total, count = state(script, 4)["seen"]["s1"]
    assert (total / count, count) == (pytest.approx(delta, abs=1e-9), 24)


def test_aot_compares_sorted_gaps(forks: Forks, tmp_path: Path):
    script = job(tmp_path, "aot", 2, 3, rows=6, train={"max_steps": 4})
    logged = run(forks, script)
    for step in (1, 2, 3):
        _, now, then = log_ratios(script, step)
        gaps = [np.sort(found[:, 0] - found[:, 1]) for found in (now, then)]
        loss = np.log1p(np.exp(-0.5 * (gaps[0] - gaps[1]))).mean()
        assert logged[step]["loss"] == pytest.approx(loss, abs=1e-9)
        unsorted = np.log1p(np.exp(-0.5 * ((now - then) @ [1, -1]))).mean()
    assert loss != pytest.approx(unsorted, abs=1e-4)


def test_matched_gives_the_value_of_the_same_rank():
    values, like = torch.tensor([5.0, 1.0, 3.0]), torch.tensor([0.2, 0.9, 0.1])
    assert matched(values, like).tolist() == [3.0, 5.0, 1.0]  # ranks 1, 2, 0 of 1 < 3 < 5
    assert matched(values, torch.zeros(3)).tolist() == [1.0, 3.0, 5.0]  # ties by place


def test_matched_values_are_the_nearest_ones():
    torch.manual_seed(0)
    values, like = torch.randn(40, dtype=torch.float64), torch.randn(40, dtype=torch.float64)
    cost = (matched(values, like) - like).square().mean()  # the square of the 2-Wasserstein distance
    assert cost == pytest.approx(float((values.sort()[0] - like.sort()[0]).square().mean()))
    assert cost < F.mse_loss(values, like)


# ---- resuming and evaluating ----------------------------------------------------------------------------------------

DROPOUT = {
    "model": {
        "dtype": "float32",
        "policy": {"init": "gpt2", "tokenizer": "bytes", "n_embd": 16, "n_layer": 1, "n_head": 2},
    }
}


@pytest.mark.parametrize("name", ["kto", "bco"])
def test_killed_runs_end_in_the_same_bits(forks: Forks, tmp_path: Path, name: str):
    train = {"train": {"dropout": True, "eval_steps": 2}, "data": {"eval": {"fraction": 0.3}}}
    whole, broken = (job(tmp_path / n, name, 2, 2, **DROPOUT, **train) for n in ("whole", "broken"))
    operations = forks.run(whole)["operations"]
    killed = [
        forks.run(broken, "--resume", operation=operations * part // 10, when="before")["status"]
        for part in (3, 4)
    ]
    assert killed == [-9, -9]
    run(forks, broken, "--resume")
    for file in ("metrics.jsonl", "model/model.safetensors"):
        assert (broken.parents[1] / file).read_bytes() == (whole.parents[1] / file).read_bytes()
    last = int(metrics(whole)[-1]["step"])
    assert state(broken, last) == state(whole, last)


def test_evaluation_leaves_the_running_mean_alone(forks: Forks, tmp_path: Path):
    held_out = {"eval": {"source": str(write_rows(tmp_path / "held_out.jsonl", "pointwise", 5))}}
    plain = job(tmp_path / "plain", "bco", 4, 2)
    often = job(
        tmp_path / "often", "bco", 4, 2, data=held_out, train={"eval_steps": 1, "eval_on_start": True}
    )
    expected, found = run(forks, plain), run(forks, often)
    trained = [{k: v for k, v in row.items() if not k.startswith("eval_")} for row in found]
    assert trained[1:] == expected
    assert state(often, 3)["seen"] == state(plain, 3)["seen"]
    assert [row["eval_delta"] for row in found[1:]] == pytest.approx([row["delta"] for row in expected])


# ---- labels, single rows, mismatched completions -------------------------------------------------------------------


@pytest.mark.parametrize("label", [True, False])
def test_rows_of_one_label_alone(forks: Forks, tmp_path: Path, label: bool):
    source = write_rows(tmp_path / "rows.jsonl", "pointwise", 4, label=label)
    train = {"train": {"max_steps": 2, "save_steps": 1, "per_device_train_batch_size": 4}}
    script = train_script(tmp_path, *OBJECTIVES["kto"], source, **WIDE, **train)
    last = run(forks, script)[-1]
    _, now, then = log_ratios(script, 1)
    own, other = ("rewards/chosen", "rewards/rejected") if label else ("rewards/rejected", "rewards/chosen")
    assert last[own] == pytest.approx(0.5 * (now - then)[:, 0].mean(), abs=1e-9)
    assert last[other] == 0.0
    assert all(math.isfinite(value) for value in last.values())


def test_kto_refuses_a_global_batch_of_one_row(tmp_path: Path):
    source = write_rows(tmp_path / "rows.jsonl", "pointwise", 4)
    codes = []
    for batch, accumulation, processes in [(1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2)]:
        train = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation}
        sections = {"train": train, "launch": {"num_processes": processes}}
        spec = spec_file(tmp_path, *OBJECTIVES["kto"], source, **sections)
        codes.append([d.code for d in alignc.api.validate(spec).diagnostics])
    assert codes == [["E107"], [], [], []]


def test_kto_refuses_a_dataset_of_one_row(forks: Forks, tmp_path: Path):
    script = job(tmp_path, "kto", 4, 1, rows=1)
    assert forks.run(script)["status"] == 1
    status = json.loads((script.parents[1] / "status.json").read_text())
    assert [each["code"] for each in status["diagnostics"]] == ["E707"]


def examples(count: int, responses: int = 1) -> list[Example]:
    prompt = np.array([1, 2, 3], dtype=np.int32)
    return [
        Example(
            row,
            f"x:{row}",
            prompt,
            tuple(np.full(4, 10 * row + r, dtype=np.int32) for r in range(responses)),
            {},
        )
        for row in range(count)
    ]


@pytest.mark.parametrize("count", [2, 3, 10])
def test_mismatched_completions_are_other_rows_and_each_lends_once(count: int):
    extended = with_mismatched(examples(count), 42, None)
    lenders = [int(each.responses[-1][0]) // 10 for each in extended]
    assert sorted(lenders) == list(range(count))
    assert all(lender != row for row, lender in enumerate(lenders))
    assert [e.responses[0].tolist() for e in extended] == [e.responses[0].tolist() for e in examples(count)]
    assert count < 10 or lenders != [
        int(e.responses[-1][0]) // 10 for e in with_mismatched(examples(count), 7, None)
    ]


def test_mismatched_completions_of_pairs_take_both_sides_and_fit():
    extended = with_mismatched(examples(6, 2), 42, 5)
    assert [int(each.responses[-1][0]) % 10 for each in extended] == [0, 1, 0, 1, 0, 1]
    assert {len(each.responses[-1]) for each in extended} == {2}
    with pytest.raises(Failure, match="there is only one row"):
        with_mismatched(examples(1), 42, None)


# ---- ranks ----------------------------------------------------------------------------------------------------------


@pytest.mark.engines
def test_two_ranks(forks: Forks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """One launch for all: micro-batches of one row, so that the last batch of three leaves a rank without rows."""
    monkeypatch.setenv("ALIGNC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    names = [*OBJECTIVES, *ALSO]
    runs, section = tmp_path / "runs", {"launch": {"num_processes": 2, "timeout": 300}}
    alone = {name: job(tmp_path / "alone" / name, name, 8, 1) for name in names}
    scripts = {}
    for name in names:
        made = job(tmp_path / "specs" / name, name, 1, 4, **section)
        scripts[name] = moved(made, runs / name)
    loop = moved(job(tmp_path / "specs" / "loop", "kto", 1, 4, **section), runs / "loop")
    loop.write_text(LOOP)
    outcome = start(loop)
    assert outcome.exit_code == 0, (outcome, (runs / "loop" / "run.log").read_text()[-3000:])
    for name, script in scripts.items():
        kept = runs / "kept" / name
        for wanted, row in zip(run(forks, alone[name]), metrics(script), strict=True):
            if row["step"] == 1:  # margins of 0 are rounded to either side
                wanted = {k: row[k] if k == "rewards/accuracies" else v for k, v in wanted.items()}
            assert row == pytest.approx(wanted, rel=1e-9, abs=1e-12)
        for file in ("metrics.jsonl", "model/model.safetensors", "checkpoints/step-3/trainer_state.json"):
            assert (runs / name / file).read_bytes() == (kept / file).read_bytes(), (name, file)


def moved(script: Path, output: Path) -> Path:
    """Give a job another output folder."""
    data = json.loads(script.with_name("job.json").read_text())
    data["spec"]["output_dir"] = str(output)
    target = output / "job"
    target.mkdir(parents=True)
    for path in script.parent.iterdir():
        (target / path.name).write_text(path.read_text())
    (target / "job.json").write_text(json.dumps(data))
    return target / "train.py"


@pytest.mark.engines
def test_the_reference_point_under_zero(forks: Forks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ALIGNC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    wide = {"model": {"dtype": "float32"}}
    alone = job(tmp_path / "alone", "kto-pairs", 8, 1, **wide)
    objective, kind = OBJECTIVES["kto-pairs"]
    source = write_rows(tmp_path / "rows.jsonl", kind, ROWS)
    train = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    launch = {"engine": "deepspeed", "zero_stage": 2, "num_processes": 2, "timeout": 300}
    spec = spec_file(tmp_path / "zero", objective, kind, source, train=train, launch=launch, **wide)
    ended = alignc.api.run(spec, show=lambda line: None)
    output = Path(ended.output_dir)
    assert ended.exit_code == 0, (ended, (output / "run.log").read_text()[-3000:])
    expected = run(forks, alone)
    assert max(row["kl"] for row in expected) > 0.01
    for wanted, row in zip(expected, metrics(output / "job" / "train.py"), strict=True):
        assert row == pytest.approx(wanted, rel=1e-5, abs=1e-5)


@pytest.mark.engines
def test_every_extra_output_under_zero_3(forks: Forks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Weights that are spread over ranks: a pass without gradient first, heads called twice, heads of another kind."""
    monkeypatch.setenv("ALIGNC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    names = ["kto-pairs", "bco", *ALSO]
    zero = {"engine": "deepspeed", "zero_stage": 3, "num_processes": 2, "timeout": 300}
    runs, section = tmp_path / "runs", {"launch": zero, "model": {"dtype": "float32"}}
    alone = {n: job(tmp_path / "alone" / n, n, 8, 1, model={"dtype": "float32"}) for n in names}
    scripts = {n: moved(job(tmp_path / "specs" / n, n, 1, 4, **section), runs / n) for n in names}
    loop = moved(job(tmp_path / "specs" / "loop", "bco", 1, 4, **section), runs / "loop")
    loop.write_text(LOOP)
    outcome = start(loop)
    assert outcome.exit_code == 0, (outcome, (runs / "loop" / "run.log").read_text()[-3000:])
    for name, script in scripts.items():
        for wanted, row in zip(run(forks, alone[name]), metrics(script), strict=True):
            moving = {k: v for k, v in wanted.items() if not k.endswith("accuracies")}
            assert {k: row[k] for k in moving} == pytest.approx(moving, rel=1e-4, abs=1e-5), name
        for path in (runs / "kept" / name / "model").glob("*.safetensors"):
            assert (runs / name / "model" / path.name).read_bytes() == path.read_bytes(), (name, path.name)
        metrics_file = (runs / "kept" / name / "metrics.jsonl").read_bytes()
        assert (runs / name / "metrics.jsonl").read_bytes() == metrics_file, name
