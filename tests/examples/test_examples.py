"""Every method has an example: short, without findings, and trained for two steps on the project's own data."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import alignc.api

from ..runtime.forks import Forks

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.yaml"))
OWN = "presets/tempered.yaml"  # `own` shows a method that stands in a file of its own
METHODS = [name for name in EXAMPLES if name not in ("own", "mix", "grpo_sft")]
FIRST = ["sft", *(name for name in EXAMPLES if name != "sft")]  # dpo starts from its model


def spec(name: str) -> Path:
    return ROOT / "examples" / f"{name}.yaml"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """The job folders of all examples, run in forks of one process that has everything imported."""
    root = tmp_path_factory.mktemp("examples")
    process, folders = Forks(root / "cache"), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for name in FIRST:
            output = Path(alignc.api.load(spec(name)).job.output_dir)
            alignc.api.compile(spec(name), output / "job")
            answer = process.run(output / "job" / "train.py", "--max-steps", "2", "--limit", "40")
            assert answer["status"] == 0, (name, (output / "status.json").read_text())
            folders[name] = output
    yield folders
    process.close()


def test_every_method_has_an_example():
    assert sorted(path.stem for path in (ROOT / "alignc/load/presets").glob("*.yaml")) == METHODS


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_short_and_without_findings(name: str):
    assert len(spec(name).read_text().splitlines()) <= 12
    wanted = {"own": OWN, "mix": None, "grpo_sft": None}.get(name, name)
    assert alignc.api.load(spec(name)).job.objective.preset == wanted
    assert alignc.api.validate(spec(name)).diagnostics == ()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_trains(name: str, trained: dict[str, Path]):
    lines = (trained[name] / "metrics.jsonl").read_text().splitlines()
    first, last = rows = [json.loads(line) for line in lines]
    assert [row["step"] for row in rows] == [1, 2]
    assert all(math.isfinite(value) for row in rows for value in row.values())
    plan = json.loads((trained[name] / "job" / "job.json").read_text())["plan"]
    assert set(plan["metrics"]) <= first.keys()
    if "rollout" in first:
        assert_sampled(trained[name], last)
    else:
        assert first["grad_norm"] > 0
        assert {f"eval_{metric}" for metric in plan["metrics"]} <= last.keys()
    known = {k: v for k, v in plan["step0"].items() if not k.endswith("accuracies")}
    assert {k: first[k] for k in known} == pytest.approx(known, rel=1e-4, abs=1e-4)
    assert (trained[name] / "model" / "model.safetensors").is_file()


def assert_sampled(folder: Path, last: dict[str, float]) -> None:
    """Responses were written down and judged, and held-out prompts answered; two steps of SFT earn no reward yet."""
    answers = [json.loads(line) for line in (folder / "rollouts.jsonl").read_text().splitlines()]
    data = json.loads((folder / "job" / "job.json").read_text())["spec"]["data"]
    if "sources" in data:  # one of them is sampled; the held-out rows of the others are evaluated too
        [data] = [rows for rows in data["sources"].values() if "completions_per_prompt" in rows]
        assert {"eval_source_2/loss", "eval_nll_loss"} <= last.keys()
    per_prompt = Counter((answer["rollout"], answer["row"]) for answer in answers)
    assert set(per_prompt.values()) == {data["completions_per_prompt"]}
    assert {"eval_completions/mean_length", "eval_objective/kl"} <= last.keys()
    judged = {"reward", "win_rate"} & answers[0].keys()
    assert bool(judged) == bool(data["reward"] or data["oracle"])
    assert {"eval_objective/scores", "eval_win_rate"} & last.keys() or not judged


def test_an_example_may_start_from_the_first_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As the examples' second line says, from the project's folder."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    kto = Path("examples/kto.yaml")
    assert "--set model.policy.run=examples/sft.yaml" in kto.read_text()
    policy = alignc.api.load(kto, ["model.policy.run=examples/sft.yaml"]).job.model.policy
    assert policy == str(tmp_path / "runs" / "sft-sums" / "model")
