from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import alignc.api as api
from alignc.diagnostics import DiagnosticError
from alignc.launch import Existing, Options, decide, reason, refusals
from alignc.launch.inputs import digests

INIT = "{init: llama, tokenizer: bytes, hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2}"
TRAIN = "train: {max_steps: %d, per_device_train_batch_size: 2, max_length: 32, report_to: []}\n"
SFT = (
    f"objective: {{preset: sft}}\nmodel: {{policy: {INIT}}}\n"
    "data: {kind: demonstrations, source: demo.jsonl}\n" + TRAIN % 1
)
PAIRS = "data: {kind: pairwise, source: pairs.jsonl}\n" + TRAIN % 1
DPO = "objective: {preset: dpo}\nmodel: {policy: {run: sft.yaml}}\n" + PAIRS
SIMPO = "objective: {preset: simpo}\nmodel: {policy: {run: dpo.yaml}}\n" + PAIRS


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALIGNC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name, text in (("sft.yaml", SFT), ("dpo.yaml", DPO), ("simpo.yaml", SIMPO)):
        Path(name).write_text(text)
    demo = [{"prompt": f"{i}+1=", "completion": f"{i + 1}"} for i in range(4)]
    pairs = [{"prompt": f"{i}+1=", "chosen": f"{i + 1}", "rejected": f"{i}"} for i in range(4)]
    for name, rows in (("demo.jsonl", demo), ("pairs.jsonl", pairs)):
        Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def finished(name: str) -> None:
    """Leave what a finished run leaves, as far as another stage looks at it."""
    [found] = api.staged([f"{name}.yaml"], (), Options(overwrite=True))
    output = found.stage.output
    (output / "model").mkdir(parents=True)
    (output / "model" / "config.json").write_text(json.dumps({"of": name}))
    (output / "job").mkdir()
    (output / "job" / "job.json").write_text(found.stage.folder.files["job.json"])
    (output / "status.json").write_text('{"finished": true, "exit": 0}')
    run = {"fingerprint": found.fingerprint, "inputs": dict(found.inputs)}
    (output / "run.json").write_text(json.dumps(run))


def ahead(*names: str, **options: bool) -> list[tuple[str, str, tuple[str, ...]]]:
    found = api.staged([f"{n}.yaml" for n in names], (), Options(keep=True, **options))  # type: ignore[arg-type]
    return [(Path(a.stage.spec).stem, a.decision.action, a.after) for a in found]


def test_stages_are_put_in_order(here: Path):
    assert ahead("simpo", "sft", "dpo") == [
        ("sft", "start", ()),
        ("dpo", "start", ("sft.yaml",)),
        ("simpo", "start", ("dpo.yaml",)),
    ]


def test_finished_stages_are_skipped_and_changes_pass_down(here: Path):
    for name in ("sft", "dpo", "simpo"):
        finished(name)
    assert [action for _, action, _ in ahead("sft", "dpo", "simpo")] == ["up_to_date"] * 3
    Path("pairs.jsonl").write_text('{"prompt": "1", "chosen": "1", "rejected": "2"}\n')
    assert [action for _, action, _ in ahead("sft", "dpo", "simpo")] == ["up_to_date", "refuse", "refuse"]
    assert ahead("sft", "dpo", "simpo", overwrite=True) == [
        ("sft", "up_to_date", ()),
        ("dpo", "start", ()),
        ("simpo", "start", ("dpo.yaml",)),
    ]


def test_what_changed_is_named_with_its_maker(here: Path):
    finished("sft")
    finished("dpo")
    (here / "runs/sft/model/config.json").write_text('{"of": "another"}')
    found = api.staged(["sft.yaml", "dpo.yaml"], (), Options(keep=True))
    [refused] = refusals(found)
    assert (refused.code, refused.span.file) == ("E603", "dpo.yaml")
    assert refused.why is not None
    assert "`model.policy`" in refused.why
    assert "`sft.yaml` has written" in refused.why
    assert "model.policy` (trained by sft.yaml) has changed" in reason(found[1])


def test_a_model_that_is_not_there_names_the_command(here: Path):
    with pytest.raises(DiagnosticError) as error:
        api.staged(["dpo.yaml"], (), Options())
    [found] = error.value.diagnostics
    assert (found.code, found.span.line, found.span.column) == ("E609", 2, 23)
    assert "alignc run sft.yaml" in (found.help or "")
    assert "--with-stages dpo.yaml" in (found.help or "")


def test_a_local_model_that_is_not_there_is_refused_before_the_first_stage(here: Path):
    Path("b.yaml").write_text(DPO.replace("{run: sft.yaml}", "./nowhere, reference: {kind: path, path: /no}"))
    with pytest.raises(DiagnosticError) as error:
        next(api.run_stages(["sft.yaml", "b.yaml"]))
    places = [(d.code, d.span.file, d.span.line, d.span.column) for d in error.value.diagnostics]
    assert places == [("E008", "b.yaml", 2, 17), ("E008", "b.yaml", 2, 58)]
    assert f"`{here}/nowhere`" in error.value.diagnostics[0].message
    assert not (here / "runs").exists()
    assert [d.code for d in api.validate("b.yaml").diagnostics] == ["W613", "W613"]


def test_a_folder_without_a_models_files_is_none(here: Path):
    Path("b.yaml").write_text(DPO.replace("{run: sft.yaml}", "./empty"))
    Path("empty").mkdir()
    [found] = api.validate("b.yaml").diagnostics
    assert "the folder has no file `config.json`" in (found.why or "")
    Path("empty/adapter_config.json").write_text("{}")
    assert not api.validate("b.yaml").diagnostics


@pytest.mark.parametrize("written", ["./runs/sft/model", "runs/sft/model"])
def test_what_other_specs_make_and_what_the_hub_has_is_not_missed(here: Path, written: str):
    Path("b.yaml").write_text(DPO.replace("{run: sft.yaml}", written))
    Path("hub.yaml").write_text(DPO.replace("{run: sft.yaml}", "org/name"))
    Path("both.yaml").write_text("stages: [sft.yaml, b.yaml, dpo.yaml, hub.yaml]\n")
    assert not api.validate("both.yaml").diagnostics
    assert not api.validate("b.yaml", beside=["sft.yaml"]).diagnostics
    assert [d.code for d in api.validate("b.yaml").diagnostics] == ["W613"]
    assert ahead("b", "sft") == [("sft", "start", ()), ("b", "start", ("sft.yaml",))]


def test_what_cannot_fit_is_refused_before_the_first_stage(here: Path):
    Path("big.yaml").write_text(SFT.replace("hidden_size: 16", "hidden_size: 1048576"))
    with pytest.raises(DiagnosticError) as error:
        next(api.run_stages(["sft.yaml", "big.yaml"]))
    [found] = error.value.diagnostics
    assert (found.code, found.span.file, found.span.line) == ("E606", "big.yaml", 2)
    assert not (here / "runs").exists()


def test_missing_stages_are_taken_in_as_they_are_written(here: Path):
    found = api.staged(["simpo.yaml"], ["train.max_steps=7"], Options(limit=3), with_stages=True)
    assert [(a.stage.spec, a.stage.options.limit) for a in found] == [
        ("sft.yaml", None),
        ("dpo.yaml", None),
        ("simpo.yaml", 3),
    ]
    assert [a.stage.job["spec"]["train"]["max_steps"] for a in found] == [1, 1, 7]


def test_two_stages_cannot_share_a_folder(here: Path):
    Path("other.yaml").write_text(SFT + "output_dir: runs/sft\n")
    with pytest.raises(DiagnosticError, match="write to the same `output_dir`"):
        api.staged(["sft.yaml", "other.yaml"], (), Options())


def test_stages_that_start_from_one_another_by_path(here: Path):
    for name, other in (("a", "b"), ("b", "a")):
        Path(f"{name}.yaml").write_text(DPO.replace("{run: sft.yaml}", f"./runs/{other}/model"))
    with pytest.raises(DiagnosticError, match="depend on each other"):
        api.staged(["a.yaml", "b.yaml"], (), Options())


def test_every_spec_is_checked_before_the_first_starts(here: Path):
    Path("simpo.yaml").write_text(SIMPO.replace("preset: simpo", "preset: simpoo"))
    with pytest.raises(DiagnosticError, match="E007"):
        next(api.run_stages(["sft.yaml", "dpo.yaml", "simpo.yaml"]))
    assert not (here / "runs").exists()


def test_overwrite_keeps_what_is_up_to_date_among_stages():
    whole, half = Existing("a", finished=True), Existing("a", finished=False)
    assert decide(whole, "a", resume=False, overwrite=True, keep=True).action == "up_to_date"
    assert decide(half, "a", resume=True, overwrite=True, keep=True).action == "resume"
    assert decide(half, "a", resume=False, overwrite=True, keep=True).action == "start"
    assert decide(whole, "b", resume=False, overwrite=True, keep=True).action == "start"


def test_content_counts_wherever_it_is_named(tmp_path: Path):
    file = tmp_path / "file"
    file.write_text("a")
    name = str(file)
    spec = {
        "model": {"policy": {"init": "llama", "tokenizer": name}, "critic": {"kind": "model", "path": name}},
        "data": {"source": name, "reward": [{"kind": "model", "path": name}], "columns": {"source": "/"}},
        "output_dir": name,
    }
    before = digests(spec)
    assert sorted(before) == [
        "data.reward.0.path",
        "data.source",
        "model.critic.path",
        "model.policy.tokenizer",
    ]
    assert digests(spec) == before
    file.write_text("bc")
    assert not set(digests(spec).values()) & set(before.values())


def test_a_build_runs_skips_and_rebuilds(here: Path):
    """The same model made again leaves what starts from it up to date."""
    files = ["dpo.yaml", "sft.yaml"]
    said: list[str] = []
    ran = [(r.spec, r.action, r.exit_code) for r in api.run_stages(files, show=said.append)]
    assert ran == [("sft.yaml", "start", 0), ("dpo.yaml", "start", 0)]
    (here / "runs/sft/status.json").unlink()
    (here / "runs/sft/model/config.json").unlink()
    again = [r.action for r in api.run_stages(files, overwrite=True, show=said.append)]
    assert again == ["start", "up_to_date"]
    assert any("dpo.yaml (2 of 2): up to date" in line for line in said)
    Path("sft.yaml").write_text(SFT.replace("max_steps: 1", "max_steps: 2"))
    changed, waits = api.staged(files, (), Options(overwrite=True, keep=True))
    assert "`train.max_steps: 1 → 2`" in reason(changed)
    assert waits.after == ("sft.yaml",)


def test_an_interrupted_build_goes_on_in_its_stage(here: Path):
    Path("dpo.yaml").write_text(DPO.replace("max_steps: 1", "max_steps: 4000"))
    finished_sft = list(api.run_stages(["sft.yaml"], show=lambda _: None))
    assert finished_sft[0].exit_code == 0
    line = [sys.executable, "-m", "alignc", "run", "sft.yaml", "dpo.yaml"]
    process = subprocess.Popen(line, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=os.environ)
    metrics = here / "runs/dpo/metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 75
    with pytest.raises(DiagnosticError, match="E604"):
        next(api.run_stages(["sft.yaml", "dpo.yaml"]))
    found = api.staged(["sft.yaml", "dpo.yaml"], (), Options(resume=True, keep=True))
    assert [a.decision.action for a in found] == ["up_to_date", "resume"]
