"""How a job ends: signals, bad values, crashes; each with its exit code and never a traceback."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

from .fixtures import job_data, write_job, write_pairs
from .forks import Forks

STEP = "        batches = [source.batch(step)"

SPOILT_INPUTS = """from dataclasses import replace
spoil = lambda batch, totals: loss.loss(
    batch | {{"policy/completion": batch["policy/completion"] * {v}}}, totals
)
micro = replace(micro, objective=replace(micro.objective, loss=spoil))"""
SPOILT_SHARE = "from dataclasses import replace\nscored = replace(scored, share=scored.share * {v})"


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    process = Forks(tmp_path_factory.mktemp("cache"))
    yield process
    process.close()


def make(folder: Path, kind: str = "sft", rows: int = 8, **options: Any) -> Path:
    source = write_pairs(folder / "rows.jsonl", rows, kind)
    return write_job(folder / "run" / "job", job_data(kind, source, folder / "run", **options)) / "train.py"


def status(script: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((script.parents[1] / "status.json").read_text())
    return found


def edit(script: Path, inserted: str, before: str = STEP) -> None:
    """Put statements into the emitted loop, before a line of it."""
    indent = before[: len(before) - len(before.lstrip())]
    text = script.read_text()
    assert before in text
    lines = "".join(f"{indent}{line}\n" for line in inserted.splitlines())
    script.write_text(text.replace(before, lines + before))


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 75), ("SIGINT", 130)])
def test_a_signal_saves_at_the_next_step(forks: Forks, tmp_path: Path, name: str, code: int):
    script = make(tmp_path, max_steps=6)
    edit(script, f"import os, signal\nif step.number == 3:\n    os.kill(os.getpid(), signal.{name})")
    assert forks.run(script)["status"] == code
    assert status(script) == {"exit": code, "diagnostics": [], "finished": False, "step": 3}
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-3"]
    assert forks.run(script, "--resume")["status"] == 0
    assert status(script) == {"exit": 0, "diagnostics": [], "finished": True, "step": 6}


def test_a_signal_during_evaluation_is_obeyed_and_the_metrics_are_the_same(forks: Forks, tmp_path: Path):
    options: dict[str, Any] = {"max_steps": 4, "eval_steps": 2, "data": {"eval": {"fraction": 0.4}}}
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    whole, cut = make(tmp_path / "whole", **options), make(tmp_path / "cut", **options)
    assert forks.run(whole)["status"] == 0
    edit(
        cut,
        "import os, signal\nif step.number == 2 and not run.options.resume:\n    os.kill(os.getpid(), signal.SIGTERM)",
        before="        state = session.end_rollout(step, state, row)\n",
    )
    assert forks.run(cut)["status"] == 75
    assert len((cut.parents[1] / "metrics.jsonl").read_text().splitlines()) == 1
    assert forks.run(cut, "--resume")["status"] == 0
    for name in ("metrics.jsonl", "model/model.safetensors"):
        assert (cut.parents[1] / name).read_bytes() == (whole.parents[1] / name).read_bytes()


def test_a_signal_while_the_reference_is_computed(forks: Forks, tmp_path: Path):
    script = make(tmp_path, "dpo", max_steps=2)
    edit(
        script,
        "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)",
        before="    sources, state = with_anchors(",
    )
    assert forks.run(script, cache=tmp_path / "cache")["status"] == 75
    assert status(script)["step"] == 0
    assert list((tmp_path / "cache").rglob("*.safetensors")) == []


@pytest.mark.parametrize("after", [0.05, 0.3, 0.5, 0.8])
def test_a_signal_at_any_time_is_never_a_crash(forks: Forks, tmp_path: Path, after: float):
    script = make(tmp_path, "dpo", max_steps=1000)
    answer = forks.run(script, cache=tmp_path / "cache", after=after, signal=int(signal.SIGTERM))
    assert answer["status"] in (75, -signal.SIGTERM)  # before the handler stands there is nothing to save
    assert not (tmp_path / "run" / "crash.log").exists()
    if answer["status"] == 75 and status(script)["step"]:
        assert (tmp_path / "run" / "checkpoints" / f"step-{status(script)['step']}").is_dir()


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    ("place", "statement"),
    [
        ("                scored = loss_of", SPOILT_INPUTS),
        ("                engine.backward", SPOILT_SHARE),
        (
            "        norm = engine.gradient_norm()",
            "next(p for p in model.parameters() if p.grad is not None).grad.fill_({v})",
        ),
    ],
)
def test_a_number_that_is_not_finite_stops_before_the_update(
    forks: Forks, tmp_path: Path, value: str, place: str, statement: str
):
    script = make(tmp_path, save_steps=1, optim="sgd")
    line = next(line for line in script.read_text().splitlines(keepends=True) if line.startswith(place))
    edit(
        script,
        "if step.number == 2:\n" + indent(statement.format(v=f"float({value!r})"), "    "),
        before=line,
    )
    edit(
        script,
        "if step.number == 2:\n    raise AssertionError('the weights were updated')",
        before="        engine.step(rate)\n",
    )
    assert forks.run(script)["status"] == 4
    (found,) = status(script)["diagnostics"]
    assert found["code"] == "E801"
    assert "rows.jsonl:" in found["why"]
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-1"]


def test_a_wrong_reference_is_caught_at_step_1(forks: Forks, tmp_path: Path):
    script = make(tmp_path, "dpo", rows=4)
    edit(
        script,
        "(given,) = sources\nrows = given.anchors['initial']\n"
        "moved = [tuple(r - 0.1 * (n + 1) for n, r in enumerate(row)) for row in rows]\n"
        "sources = [given.with_anchors({'initial': moved}, given.held_out_anchors)]",
        before="    policy = policy_of(",
    )
    assert forks.run(script)["status"] == 4
    (found,) = status(script)["diagnostics"]
    assert found["code"] == "E802"
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_crash_is_one_diagnostic_and_its_traceback_a_file(forks: Forks, tmp_path: Path):
    script = make(tmp_path)
    edit(script, "raise ZeroDivisionError('on purpose')")
    assert forks.run(script)["status"] == 4
    (found,) = status(script)["diagnostics"]
    assert found["code"] == "E806"
    assert "ZeroDivisionError: on purpose" in found["message"]
    log = tmp_path / "run" / "crash.log"
    assert str(log) in found["why"]
    assert "Traceback" in log.read_text()


def test_bad_rows_end_with_theirs(forks: Forks, tmp_path: Path):
    script = make(tmp_path)
    (tmp_path / "rows.jsonl").write_text('{"prompt": "1+1=", "completion": "2"}\n{"prompt": "1+2="}\n')
    assert forks.run(script)["status"] == 1
    codes = [each["code"] for each in status(script)["diagnostics"]]
    assert codes == ["E701", "E706"]


def test_limit_and_max_steps(forks: Forks, tmp_path: Path):
    script = make(tmp_path, num_train_epochs=5.0)
    assert forks.run(script, "--limit", "2", "--max-steps", "3")["status"] == 0
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert [row["epoch"] for row in rows] == [1.0, 2.0, 3.0]


def test_the_best_model_is_kept_and_patience_ends_the_run(forks: Forks, tmp_path: Path):
    script = make(
        tmp_path,
        rows=12,
        learning_rate=30.0,
        optim="sgd",
        max_steps=50,
        eval_steps=1,
        save_total_limit=1,
        metric_for_best_model="loss",
        early_stopping_patience=3,
        data={"eval": {"fraction": 0.4}},
    )
    assert forks.run(script)["status"] == 0
    output = tmp_path / "run"
    rows = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    best = min(rows, key=lambda row: row["eval_loss"])["step"]
    assert len(rows) == best + 3 < 50
    folders = {path.name for path in (output / "checkpoints").iterdir()}
    assert folders == {f"step-{best}", f"step-{best + 3}"}
    kept = output / "checkpoints" / f"step-{best}" / "model.safetensors"
    assert (output / "model" / "model.safetensors").read_bytes() == kept.read_bytes()


def test_checkpoints_of_an_earlier_run_are_not_mixed_in(forks: Forks, tmp_path: Path):
    script = make(tmp_path, max_steps=2)
    assert forks.run(script)["status"] == 0
    metrics = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    assert forks.run(script)["status"] == 3
    assert [found["code"] for found in status(script)["diagnostics"]] == ["E604"]
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == metrics
    assert forks.run(script, "--resume")["status"] == 0
