from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from alignc.doctor import Finding, examine
from alignc.doctor.demands import demands, needed, room
from alignc.doctor.probe import Device, Torch

GPU = Device("a GPU", 24 << 30, 20 << 30, bf16=True)
OLD = Device("an old GPU", 8 << 30, 8 << 30, bf16=False)
TINY = {"init": "llama", "tokenizer": "bytes", "hidden_size": 16, "num_hidden_layers": 1}
TINY |= {"num_attention_heads": 2, "intermediate_size": 32}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    Path("pairs.jsonl").write_text('{"prompt": "1+1=", "chosen": "2", "rejected": "3"}\n')


def spec(name: str = "spec.yaml", **sections: Any) -> str:
    whole = {"objective": {"preset": "dpo"}, "model": {"policy": TINY}, "launch": {}, "train": {}}
    whole |= {"data": {"kind": "pairwise", "source": "pairs.jsonl"}} | sections
    Path(name).write_text(json.dumps(whole))
    return name


def told(path: str, torch: Torch | None = None) -> dict[str, Finding]:
    found = examine(path, torch=torch or Torch())
    return {each.name: each for each in found if each.group == path or each.state == "lacks"}


def lacks(path: str, torch: Torch | None = None) -> dict[str, str]:
    return {name: each.found for name, each in told(path, torch).items() if each.state == "lacks"}


def test_a_sound_spec_lacks_nothing():
    found = told(spec())
    assert {each.state for each in found.values()} == {"ok"}
    assert set(found) == {"models", "data", "permissions", "processes", "memory", "output_dir"}


def test_every_lack_has_a_way_out():
    missing = spec(data={"kind": "pairwise", "source": "none.jsonl"}, model={"policy": {"run": "sft.yaml"}})
    spec("sft.yaml", data={"kind": "demonstrations", "source": "pairs.jsonl"}, objective={"preset": "sft"})
    found = told(missing, Torch(gloo="no address"))
    absent = {name: each for name, each in found.items() if each.state == "lacks"}
    assert set(absent) == {"models", "data"}
    assert "alignc run sft.yaml" in str(absent["models"].help)
    assert all(each.help for each in absent.values())


def test_a_pipeline_makes_its_own_models():
    spec("sft.yaml", data={"kind": "demonstrations", "source": "pairs.jsonl"}, objective={"preset": "sft"})
    spec("dpo.yaml", model={"policy": {"run": "sft.yaml"}})
    Path("all.yaml").write_text("stages: [sft.yaml, dpo.yaml]\n")
    found = examine("all.yaml", torch=Torch())
    assert {each.group for each in found} >= {"sft.yaml", "dpo.yaml"}
    assert not [each for each in found if each.state == "lacks"]


@pytest.mark.parametrize(
    ("launch", "devices", "wanted"),
    [
        ({}, (), set()),
        ({"num_processes": 2}, (), {"gloo"}),
        ({"num_processes": 2}, (GPU, GPU), set()),
        ({"engine": "deepspeed"}, (), {"deepspeed", "gloo", "g++", "ninja"}),
        ({"engine": "deepspeed"}, (GPU,), {"deepspeed"}),
        ({"engine": "deepspeed", "offload": "cpu"}, (GPU,), {"deepspeed", "g++", "ninja"}),
    ],
)
def test_what_an_engine_needs(launch: dict[str, Any], devices: tuple[Device, ...], wanted: set[str]):
    assert needed(demands(spec(launch=launch)).spec, Torch(devices)) == wanted


def test_devices_and_number_formats():
    many = spec(launch={"num_processes": 4})
    assert lacks(many, Torch((GPU, GPU)))["processes"] == "4 needed, but 2 GPUs found"
    assert told(many, Torch((GPU,) * 4))["processes"].state == "ok"
    assert "gloo" in lacks(many, Torch(gloo="no address"))
    narrow = spec(train={"bf16": True})
    assert "precision" in lacks(narrow, Torch((OLD,)))
    assert "precision" not in lacks(narrow, Torch((GPU,)))


def test_vllm_needs_itself_and_a_gpu():
    reward = {"kind": "verifier", "name": "exact_number"}
    Path("prompts.jsonl").write_text('{"prompt": "1+1=", "answer": "2"}\n')
    data = {"kind": "prompts", "source": "prompts.jsonl", "reward": reward, "completions_per_prompt": 2}
    asked = spec(objective={"preset": "rloo"}, data=data | {"sampler": "vllm"})
    assert set(lacks(asked)) == {"vllm", "processes"}
    assert set(lacks(asked, Torch((GPU,)))) == {"vllm"}


def test_functions_and_hosts_must_be_allowed():
    reward = {"kind": "function", "name": "judge:worth"}
    Path("prompts.jsonl").write_text('{"prompt": "1+1="}\n')
    data = {"kind": "prompts", "source": "prompts.jsonl", "reward": reward, "completions_per_prompt": 2}
    asked = spec(objective={"preset": "rloo"}, data=data)
    assert "judge:worth" in lacks(asked)["permissions"]
    Path("alignc.toml").write_text('[allow]\nfunctions = ["judge:worth"]\n')
    assert lacks(asked) == {}


def test_hub_models_are_looked_for_in_the_cache():
    asked = spec(model={"policy": "org/name"})
    found = told(asked)
    assert (found["hub"].state, found["memory"].state) == ("note", "note")
    kept = Path("hub/models--org--name/snapshots/abc")
    kept.mkdir(parents=True)
    (kept / "config.json").write_text("{}")
    assert told(asked)["hub"].state == "ok"


def test_memory_that_cannot_suffice_lacks():
    huge = TINY | {"hidden_size": 16384, "num_hidden_layers": 200, "intermediate_size": 65536}
    assert "needs at least" in lacks(spec(model={"policy": huge}))["memory"]


def test_room_counts_what_a_run_leaves():
    """Adam in float32: 12 bytes a parameter and checkpoint, of which 2 + the best + the next; and the model."""
    plain = demands(spec(train={"optim": "adamw_torch", "save_total_limit": 2}))
    assert plain.plan is not None
    size = plain.plan.plan.sizes[0].parameters
    assert size is not None
    assert room(plain.spec, plain.plan.plan) == 4 * 12 * size + 4 * size
    lora = demands(spec(train={"optim": "sgd"}, model={"policy": TINY, "adapter": {"kind": "lora"}}))
    assert lora.plan is not None
    trained = lora.plan.plan.sizes[0].trained
    assert room(lora.spec, lora.plan.plan) == 5 * 4 * (trained or 0) > 0
