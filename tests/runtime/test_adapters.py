"""A policy that brings an adapter: merged and trained whole, gone on with, or under a new one. PEFT is the judge."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import log_softmax
from transformers import AutoModelForCausalLM, ByT5Tokenizer

from alignc.contract.job import read_job
from alignc.runtime.after.export import Wanted, export
from alignc.runtime.after.trained import find
from alignc.runtime.data import load_examples, settings_from_job
from alignc.runtime.models.adapters import pretrained
from alignc.runtime.models.load import initial_model, resumed_model

from .compiled import metrics, train_script, write_rows
from .forks import Forks
from .peft_folders import KINDS, adapter, base, logits, plain

pytestmark = pytest.mark.filterwarnings("ignore")
TOKENIZER = ByT5Tokenizer()
TIED = {"embeddings", "whole_embeddings", "whole_head", "whole_ends"}
STEPS = {
    "max_steps": 3,
    "save_steps": 1,
    "save_total_limit": 5,
    "optim": "adamw_torch",
    "learning_rate": 1e-2,
}


def core(names: Iterable[str], *chosen: str) -> list[Any]:
    """Mark the cases that are too many for every run."""
    return [name if name in chosen else pytest.param(name, marks=pytest.mark.long) for name in names]


def dpo(folder: Path, **model: Any) -> Path:
    rows = write_rows(folder.parent / "pairs.jsonl", "pairwise", 8)
    train = STEPS | {"per_device_train_batch_size": 8}
    return train_script(folder, {"preset": "dpo"}, "pairwise", rows, model=model, train=train)


def mean_logps(model: Any, script: Path) -> dict[str, float]:
    """Score the rows with plain forwards, one response at a time."""
    rows = load_examples(settings_from_job(read_job(script.with_name("job.json"))), TOKENIZER).examples
    found: dict[str, list[float]] = {"chosen": [], "rejected": []}
    for row in rows:
        for name, response in zip(found, row.responses, strict=True):
            ids = torch.tensor([[*row.prompt.tolist(), *response.tolist()]])
            with torch.no_grad():
                law = log_softmax(model(input_ids=ids).logits[0].double(), -1)
            at = range(len(row.prompt), ids.shape[1])
            found[name].append(sum(float(law[i - 1, ids[0, i]]) for i in at))
    return {name: sum(values) / len(values) for name, values in found.items()}


@pytest.mark.parametrize("tied", [False, True], ids=["apart", "tied"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_is_merged_into_what_it_computes(tmp_path: Path, kind: str, tied: bool):
    if tied and kind == "head":
        pytest.skip("PEFT shares the factors of a tied head with nothing: covered by the embeddings")
    folder = adapter(tmp_path / "adapter", base(tmp_path / "base", tied=tied), **KINDS[kind])
    wanted = logits(plain(folder))
    script = dpo(tmp_path / "dpo", policy=str(folder))
    whole = initial_model(read_job(script.with_name("job.json")), TOKENIZER)
    torch.testing.assert_close(logits(whole), wanted, atol=2e-5, rtol=1e-5)
    assert all(parameter.requires_grad for parameter in whole.parameters())
    assert not any("lora_" in name for name, _ in whole.named_parameters())
    whole.save_pretrained(tmp_path / "whole")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "whole")
    torch.testing.assert_close(logits(again), wanted, atol=2e-5, rtol=1e-5)
    assert again.config.tie_word_embeddings == (tied and kind not in TIED)


def test_a_narrow_base_is_merged_with_one_rounding(tmp_path: Path):
    folder = adapter(tmp_path / "adapter", base(tmp_path / "base", dtype=torch.bfloat16))
    script = dpo(tmp_path / "dpo", policy=str(folder))
    whole = initial_model(read_job(script.with_name("job.json")), TOKENIZER)
    wide = plain(folder).float().merge_and_unload()
    for name, value in wide.state_dict().items():
        assert torch.equal(whole.state_dict()[name], value.to(torch.bfloat16)), name


@pytest.mark.parametrize("kind", core(["plain", "dora", "rslora", "bias", "norm"], "bias"))
def test_all_weights_of_a_policy_with_an_adapter_are_trained(forks: Forks, tmp_path: Path, kind: str):
    folder = adapter(tmp_path / "adapter", base(tmp_path / "base"), **KINDS[kind])
    script = dpo(tmp_path / "dpo", policy=str(folder))
    assert forks.run(script)["status"] == 0
    first, merged = (
        metrics(script)[0],
        pretrained(str(folder), read_job(script.with_name("job.json")).spec.model),
    )
    wanted = mean_logps(plain(folder).double(), script)
    assert abs(first["loss"] - 0.6931472) < 1e-5
    for name, value in wanted.items():
        assert first[f"logps/{name}"] == pytest.approx(value, abs=2e-3)
    trained = AutoModelForCausalLM.from_pretrained(script.parents[1] / "model")
    moved = [n for n, p in trained.named_parameters() if not torch.equal(p, merged.get_parameter(n))]
    assert len(moved) == len(list(trained.parameters()))


CASES: dict[str, dict[str, Any]] = {
    "new": {"r": 2},
    "policy": {"start": "policy"},
    "dora": {"use_dora": True},
    "rslora": {"r": 4, "use_rslora": True},
    "gaussian": {"init_lora_weights": "gaussian"},
    "orthogonal": {"init_lora_weights": "orthogonal"},
    "pissa": {"init_lora_weights": "pissa"},
    "pissa_niter": {"init_lora_weights": "pissa_niter_4"},
    "olora": {"init_lora_weights": "olora"},
    "a_name": {"target_modules": "q_proj"},
    "a_pattern": {"target_modules": r".*\.0\.self_attn\.[qv]_proj"},
    "ranks": {"rank_pattern": {"q_proj": 3}},
    "whole_head": {"modules_to_save": ["lm_head"]},
    "whole_ends": {"modules_to_save": ["lm_head", "embed_tokens"]},
    "whole_norm": {"modules_to_save": ["norm"]},
    "embeddings": {"target_modules": ["q_proj", "embed_tokens"]},
}


@pytest.mark.parametrize("tied", core(["apart", "tied"], "tied"))
@pytest.mark.parametrize("case", core(CASES, "policy", "pissa", "whole_ends"))
def test_an_adapter_begins_at_the_policy_and_is_exported_as_trained(
    forks: Forks, tmp_path: Path, case: str, tied: str
):
    policy = adapter(tmp_path / "adapter", base(tmp_path / "base", tied=tied == "tied"))
    script = dpo(tmp_path / "dpo", policy=str(policy), adapter=CASES[case])
    assert forks.run(script)["status"] == 0  # E802 would stop it where the reference is not the start
    first, run = metrics(script)[0], script.parents[1]
    for name, value in mean_logps(plain(policy).double(), script).items():
        assert first[f"logps/{name}"] == pytest.approx(value, abs=2e-3)
    trained = plain(run / "model")
    assert (logits(trained) - logits(plain(policy))).abs().max() > 1e-2
    export(find(run, None), Wanted(tmp_path / "out"))
    exported = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    torch.testing.assert_close(logits(exported), logits(trained), atol=2e-5, rtol=1e-5)
    last = mean_logps(trained.double(), script)
    job = read_job(script.with_name("job.json"))
    resumed = resumed_model(job, TOKENIZER, run / "checkpoints" / "step-3")
    assert mean_logps(resumed.double().eval(), script) == pytest.approx(last, abs=1e-4)


@pytest.mark.parametrize("case", core(["new", "policy", "pissa", "whole_ends"], "pissa"))
def test_a_run_under_an_adapter_goes_on_to_the_same_bits(forks: Forks, tmp_path: Path, case: str):
    policy = adapter(tmp_path / "adapter", base(tmp_path / "base", tied=True))
    scripts = [dpo(tmp_path / name, policy=str(policy), adapter=CASES[case]) for name in ("one", "two")]
    assert forks.run(scripts[0])["status"] == 0
    assert forks.run(scripts[1], "--max-steps", "1")["status"] == 0
    assert forks.run(scripts[1], "--resume")["status"] == 0
    assert metrics(scripts[0])[-1] == metrics(scripts[1])[-1]
    files = [script.parents[1] / "model" / "adapter_model.safetensors" for script in scripts]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("case", core(["new", "policy", "pissa", "dora", "whole_ends"], "policy"))
@pytest.mark.parametrize("reference", [None, pytest.param("initial", marks=pytest.mark.long)])
def test_the_first_rollout_has_no_kl(forks: Forks, tmp_path: Path, case: str, reference: str | None):
    policy = adapter(tmp_path / "adapter", base(tmp_path / "base"))
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text(
        "".join(json.dumps({"prompt": f"{n}+1=", "answer": str(n + 1)}) + "\n" for n in range(4))
    )
    model: dict[str, Any] = {"policy": str(policy), "adapter": CASES[case]}
    model |= {"reference": {"kind": reference}} if reference else {}
    reward = {"kind": "verifier", "name": "regex", "pattern": "[A-z]"}
    data = {"completions_per_prompt": 2, "max_new_tokens": 6, "reward": reward}
    script = train_script(
        tmp_path / "rloo",
        {"preset": "rloo", "kl": {"beta": 0.1}},
        "prompts",
        prompts,
        model=model,
        data=data,
        train={
            "max_steps": 3,
            "per_device_train_batch_size": 4,
            "learning_rate": 0.05,
            "optim": "adamw_torch",
        },
    )
    assert forks.run(script)["status"] == 0
    rows = metrics(script)
    assert rows[0]["objective/kl"] == pytest.approx(0, abs=1e-4)
    assert abs(rows[-1]["objective/kl"]) > 1e-3  # it has moved: the reference has not moved with it
