"""`job.json` in both directions: what the compiler writes, the job reads as an equal value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from alignc import api
from alignc.contract.failure import Failure
from alignc.contract.job import Job, job_from, read_job, to_json
from alignc.contract.plain import to_plain
from alignc.contract.rows import GivenData, Sources

from ..online_variants import METHODS, PRESETS, Online, compiled_online
from ..variants import ALL, Variant, compiled

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


def again(job: Job) -> Job:
    return job_from(json.loads(to_json(job)))


@pytest.mark.parametrize("variant", ALL, ids=lambda variant: variant.name)
def test_a_job_of_every_preset_is_read_as_it_was_written(variant: Variant) -> None:
    job = compiled(variant).job
    assert again(job) == job


@pytest.mark.parametrize("method", [*PRESETS, *METHODS], ids=lambda method: method.name)
def test_a_job_of_every_online_method_is_read_as_it_was_written(method: Online) -> None:
    job = compiled_online(method).job
    assert again(job) == job


@pytest.mark.parametrize("spec", EXAMPLES, ids=lambda spec: spec.stem)
def test_a_job_of_every_example_is_read_as_it_was_written(spec: Path, tmp_path: Path) -> None:
    made = api.built(spec, files=False)
    assert again(made.job) == made.job
    text = made.folder().files["job.json"]
    (tmp_path / "job.json").write_text(text, "utf-8")
    assert read_job(tmp_path / "job.json") == made.job
    assert to_json(made.job) == text


ADAPTIVE = {"target": 6.0, "horizon": 1000}
KL = {"placement": "reward", "estimator": "k1", "beta": 0.1, "adaptive": ADAPTIVE}
FIXED = {"placement": "loss", "estimator": "k3", "beta": 0.1, "anchor": "ema"}
SETTINGS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"model": {"reference": {"kind": "ema", "decay": 0.9}}}, {"kl": FIXED}),
    ({"model": {"adapter": {"r": 4, "target_modules": ["q_proj"]}}}, {}),
    ({"model": {"critic": {"kind": "model", "path": "org/judge"}}}, {}),
    ({"data": {"eval": {"fraction": 0.25}}}, {}),
    ({"data": {"eval": {"source": "org/held", "split": "test"}}}, {}),
    ({"data": {"opponent": {"kind": "mixture", "weight": 0.25}}}, {}),
    ({}, {"baseline": {"kind": "constant", "value": 0.5}}),
    ({}, {"baseline": {"kind": "group_mean", "std": True, "ddof": 0}}),
]


def online(sections: dict[str, Any], term: dict[str, Any], folder: Path) -> Job:
    """Compile a policy gradient on tokens whose rewards lose value with every token."""
    reward = {"kind": "verifier", "name": "length", "limit": 3}
    axes = {"name": "pg", "kind": "policy_gradient", "discount": 0.9, "kl": KL, **term}
    data = {"kind": "prompts", "source": "x/y", "reward": reward, "completions_per_prompt": 2}
    spec = {
        "name": "job",
        "objective": {"terms": [axes]},
        "model": {"policy": {"init": "llama"}, **sections.get("model", {})},
        "data": {**data, **sections.get("data", {})},
        "output_dir": "/runs/out",
    }
    (folder / "spec.yaml").write_text(json.dumps(spec), "utf-8")
    return api.lowered(folder / "spec.yaml", files=False).job


@pytest.mark.parametrize(("sections", "term"), SETTINGS, ids=str)
def test_what_only_some_specs_say_is_written_and_read(
    sections: dict[str, Any], term: dict[str, Any], tmp_path: Path
) -> None:
    job = online(sections, term, tmp_path)
    assert again(job) == job
    written = to_plain(job)
    for section, changes in sections.items():
        assert contains(written["spec"][section], changes)
    advantage = written["plan"]["advantage"]
    assert contains(advantage["baseline"], term.get("baseline", {}))
    assert advantage["adaptive"] == (None if term.get("kl") == FIXED else {**ADAPTIVE, "beta": 0.1})


def contains(found: Any, expected: Any) -> bool:
    if isinstance(expected, dict):
        return all(contains(found[name], value) for name, value in expected.items())
    return bool(found == expected)


def test_each_of_several_sources_is_a_job_of_its_own() -> None:
    made = api.built(next(path for path in EXAMPLES if path.stem == "mix"), files=False)
    job = again(made.job)
    assert isinstance(job.spec.data, Sources)
    assert [part.spec.data for part in job.parts] == list(job.spec.data.sources.values())
    assert [part.needs for part in job.parts] == list(job.needs.parts)
    assert all(isinstance(part.rows, GivenData) and not part.parts for part in job.parts)
    with pytest.raises(TypeError, match="several sources"):
        _ = job.rows
    with pytest.raises(TypeError, match="given"):
        _ = job.prompts


@pytest.mark.parametrize(
    "where",
    [("spec", "data", "opponent"), ("spec", "model", "reference"), ("plan", "advantage")],
    ids=".".join,
)
def test_unknown_keys_below_a_section_are_named(where: tuple[str, ...], tmp_path: Path) -> None:
    data = to_plain(online({}, {}, tmp_path))
    inner = data
    for key in where:
        inner = inner[key]
    inner["surprise"] = 1
    with pytest.raises(Failure, match=f"{where[-1]} has unknown keys .*surprise"):
        job_from(data)
