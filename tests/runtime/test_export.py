"""What a run trained, exported: the same logits as the run's own model, however it is read."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from alignc.contract.failure import Failure
from alignc.contract.job import read_job
from alignc.runtime.after.export import Wanted, export
from alignc.runtime.after.trained import find
from alignc.runtime.data.tokenizer import load_tokenizer, train_bpe
from alignc.runtime.models.critic import critic_of
from alignc.runtime.models.load import initial_model, resumed_model, save_model

from .compiled import TINY, train_script, write_rows
from .forks import Forks

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ImportWarning", "ignore::ResourceWarning"
)
IDS = torch.tensor([[5, 60, 61, 62, 63, 1]])
LORA = {"kind": "lora", "r": 4, "alpha": 8}


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    process = Forks(tmp_path_factory.mktemp("cache"))
    yield process
    process.close()


def trained(
    forks: Forks, folder: Path, preset: str = "sft", kind: str = "demonstrations", **sections: Any
) -> Path:
    """Train a tiny model for three steps, each with a checkpoint; return the run's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = write_rows(folder / "rows.jsonl", kind, 9)
    train = {"save_steps": 1, "save_total_limit": 5, "max_steps": 3, "per_device_train_batch_size": 4}
    sections["train"] = train | sections.get("train", {})
    script = train_script(folder, {"preset": preset}, kind, rows, **sections)
    assert forks.run(script)["status"] == 0
    return folder / "run"


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(IDS).logits
    return found


@pytest.fixture(scope="module")
def full(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    train = {"eval_steps": 1, "metric_for_best_model": "loss", "learning_rate": 30.0, "max_grad_norm": 0.0}
    data = {"eval": {"fraction": 0.4}}
    return trained(forks, tmp_path_factory.mktemp("full"), train=train, data=data)


def test_a_full_fine_tune_has_the_logits_of_its_run(full: Path, tmp_path: Path):
    done = export(find(full), Wanted(tmp_path / "out"))
    own = AutoModelForCausalLM.from_pretrained(full / "model")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert torch.equal(logits(model), logits(own))
    assert (
        model.generation_config.eos_token_id == AutoTokenizer.from_pretrained(tmp_path / "out").eos_token_id
    )
    assert (done.kind, done.dtype) == ("model", "float32")
    assert done.bytes == sum(p.stat().st_size for p in (tmp_path / "out").glob("*.safetensors"))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_folder_tells_where_it_comes_from(full: Path, tmp_path: Path):
    export(find(full, "2"), Wanted(tmp_path / "out"))
    about = json.loads((tmp_path / "out" / "alignc.json").read_text())
    job = json.loads((full / "job" / "job.json").read_text())
    assert about["from"] == {"run": str(full), "step": 2}
    assert (about["spec"], about["origins"]) == (job["spec"], job["origins"])
    card = (tmp_path / "out" / "README.md").read_text()
    step2 = json.loads((full / "metrics.jsonl").read_text().splitlines()[1])
    assert f"| loss | {step2['loss']:.6g} |" in card
    assert 'folder = "out"' in card
    (rows,) = [
        line for line in (full / "model" / "README.md").read_text().splitlines() if "were used" in line
    ]
    assert rows in card.splitlines()


def test_each_checkpoint_is_found(full: Path, tmp_path: Path):
    rows = [json.loads(line) for line in (full / "metrics.jsonl").read_text().splitlines()]
    best = min(rows, key=lambda row: row["eval_loss"])["step"]
    assert [find(full, w).step for w in ("best", "last", "1")] == [best, 3, 1]
    assert find(full).step == best
    assert find(full / "checkpoints" / "step-2").folder == full / "checkpoints" / "step-2"
    assert find(full / "model").folder == full / "model"
    for step in (1, 3):
        export(find(full, str(step)), Wanted(tmp_path / str(step)))
        own = AutoModelForCausalLM.from_pretrained(full / "checkpoints" / f"step-{step}")
        assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(tmp_path / str(step))), logits(own))


@pytest.mark.parametrize(("wanted", "code"), [("7", "E008"), ("best", "E008")])
def test_a_checkpoint_that_is_not_there(forks: Forks, tmp_path: Path, wanted: str, code: str):
    with pytest.raises(Failure) as found:
        find(trained(forks, tmp_path), wanted)
    assert (found.value.code, found.value.exit_code) == (code, 1)


def test_unfinished_and_damaged_runs_are_refused(full: Path, tmp_path: Path):
    run = tmp_path / "run"
    shutil.copytree(full, run)
    (run / "status.json").write_text(json.dumps({"exit": 75, "finished": False, "step": 3}))
    with pytest.raises(Failure, match="E604"):
        find(run)
    assert find(run, "last").step == 3
    weights = run / "checkpoints" / "step-3" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(Failure, match="E805"):
        find(run, "last")
    with pytest.raises(Failure, match="E008"):
        find(tmp_path)


def test_types_are_cast(full: Path, tmp_path: Path):
    done = export(find(full), Wanted(tmp_path / "half", dtype="bfloat16"))
    own, cast = (load_file(folder / "model.safetensors") for folder in (full / "model", tmp_path / "half"))
    assert done.dtype == "bfloat16"
    assert all(torch.equal(cast[name], own[name].bfloat16()) for name in own)
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "half").dtype == torch.bfloat16


def test_a_folder_in_use_stays(full: Path, tmp_path: Path):
    source, target = find(full), tmp_path / "out"
    target.mkdir()
    export(source, Wanted(target))
    (target / "mine.txt").write_text("kept")
    with pytest.raises(Failure, match="is not empty"):
        export(source, Wanted(target))
    assert (target / "mine.txt").is_file()
    export(source, Wanted(target, overwrite=True))
    assert not (target / "mine.txt").exists()
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("kept")
    with pytest.raises(Failure, match="does not hold a model"):
        export(source, Wanted(tmp_path / "home", overwrite=True))
    for own in (full, full / "model", full.parent, full / "model" / "below"):
        with pytest.raises(Failure, match="holds the run itself"):
            export(source, Wanted(own, overwrite=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "out"]


def test_an_export_that_fails_leaves_the_older_one(full: Path, tmp_path: Path):
    export(find(full), Wanted(tmp_path / "out"))
    before = (tmp_path / "out" / "model.safetensors").read_bytes()
    broken = dataclasses.replace(find(full), folder=tmp_path / "nothing")
    with pytest.raises(Failure):
        export(broken, Wanted(tmp_path / "out", overwrite=True))
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def run_model(run: Path) -> Any:
    """Read the run's model as the run does: an adapter is on its base."""
    job = read_job(run / "job" / "job.json")
    return resumed_model(job, load_tokenizer(job.spec.model), run / "model")


def test_an_adapter_on_a_made_base_is_merged(forks: Forks, tmp_path: Path):
    run = trained(forks, tmp_path, model={"adapter": LORA})
    assert not (run / "model" / "model.safetensors").exists()
    export(find(run), Wanted(tmp_path / "out"))
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert not (tmp_path / "out" / "adapter_config.json").exists()
    own = run_model(run)
    torch.testing.assert_close(logits(model), logits(own), atol=1e-5, rtol=1e-5)
    with own.disable_adapter():
        assert not torch.allclose(logits(model), logits(own), atol=1e-3)


@pytest.fixture(scope="module")
def base(full: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "base"
    AutoModelForCausalLM.from_pretrained(full / "model", dtype=torch.bfloat16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(full / "model").save_pretrained(folder)
    return folder


def test_an_adapter_is_merged_with_one_rounding_or_copied(forks: Forks, base: Path, tmp_path: Path):
    run = trained(forks, tmp_path, model={"policy": str(base), "adapter": LORA})
    export(find(run), Wanted(tmp_path / "wide", dtype="float32"))
    done = export(find(run), Wanted(tmp_path / "narrow"))
    export(find(run), Wanted(tmp_path / "alone", merge=False))
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "wide")
    own = AutoModelForCausalLM.from_pretrained(run / "model", dtype=torch.float32)
    torch.testing.assert_close(logits(model), logits(own), atol=1e-5, rtol=1e-5)
    alone = AutoModelForCausalLM.from_pretrained(tmp_path / "alone", dtype=torch.float32)
    torch.testing.assert_close(logits(alone), logits(own), atol=1e-5, rtol=1e-5)
    wide, narrow = (load_file(tmp_path / name / "model.safetensors") for name in ("wide", "narrow"))
    assert done.dtype == "bfloat16"
    assert all(torch.equal(narrow[name], wide[name].bfloat16()) for name in wide)
    assert "library_name: peft" in (tmp_path / "alone" / "README.md").read_text()


@pytest.mark.parametrize("adapter", [None, LORA])
def test_a_reward_model_scores_as_its_run(
    forks: Forks, base: Path, tmp_path: Path, adapter: dict[str, Any] | None
):
    section = {"policy": str(base), "adapter": adapter, "dtype": "float32"}
    run = trained(forks, tmp_path, "reward_model", "pairwise", model=section)
    done = export(find(run), Wanted(tmp_path / "out"))
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    assert done.kind == "reward model"
    assert logits(model).shape == (1, 1)
    torch.testing.assert_close(logits(model), logits(run_model(run)), atol=1e-6, rtol=1e-5)
    assert float(logits(model).abs()) > 0
    assert "pipeline_tag: text-classification" in (tmp_path / "out" / "README.md").read_text()


def test_the_value_head_comes_where_it_is_asked_for(forks: Forks, tmp_path: Path):
    run = trained(forks, tmp_path, "dro", "pointwise")
    export(find(run), Wanted(tmp_path / "out"))
    assert not (tmp_path / "out" / "value_head.safetensors").exists()
    assert not any("value_head" in name for name in load_file(tmp_path / "out" / "model.safetensors"))
    export(find(run), Wanted(tmp_path / "both", critic=True))
    own, head = (load_file(f / "value_head.safetensors") for f in (run / "model", tmp_path / "both"))
    assert all(torch.equal(head[name], own[name]) for name in own)


def test_a_critic_of_its_own_comes_where_it_is_asked_for(tmp_path: Path):
    (tmp_path / "rows.jsonl").write_text('{"prompt": "1+1=", "answer": "2"}\n')
    reward = {"reward": {"kind": "verifier", "name": "exact_number"}, "max_new_tokens": 4}
    sections = {"data": reward, "model": {"critic": {"kind": "model"}}}
    script = train_script(tmp_path, {"preset": "ppo"}, "prompts", tmp_path / "rows.jsonl", **sections)
    run, job = script.parents[1], read_job(script.with_name("job.json"))
    tokenizer = load_tokenizer(job.spec.model)
    model = initial_model(job, tokenizer)
    torch.nn.init.normal_(critic_of(model).score.weight)
    save_model(model, model.state_dict(), tokenizer, run / "model")
    (run / "status.json").write_text(json.dumps({"exit": 0, "finished": True, "step": 2}))
    export(find(run), Wanted(tmp_path / "policy"))
    assert not (tmp_path / "policy" / "critic").exists()
    export(find(run), Wanted(tmp_path / "both", critic=True, dtype="float64"))
    critic = AutoModelForSequenceClassification.from_pretrained(tmp_path / "both" / "critic")
    assert critic.dtype == torch.float64
    torch.testing.assert_close(logits(critic).float(), logits(critic_of(model)))
    policy = AutoModelForCausalLM.from_pretrained(tmp_path / "policy")
    torch.testing.assert_close(logits(policy), logits(run_model(run)))


def test_the_chat_template_and_the_ends_of_turns_come_along(forks: Forks, tmp_path: Path):
    """A tokenizer whose EOS the base's generation does not know: what the run trained as an end is one."""
    tokenizer = train_bpe(["1+1=2 and 2+2=4"] * 4, 300, tmp_path / "tokenizer")
    policy = TINY | {"tokenizer": str(tmp_path / "tokenizer")}
    run = trained(forks, tmp_path, model={"policy": policy})
    settings = run / "model" / "generation_config.json"
    settings.write_text(json.dumps({"eos_token_id": 7}))
    export(find(run), Wanted(tmp_path / "out"))
    assert AutoTokenizer.from_pretrained(tmp_path / "out").chat_template == tokenizer.chat_template
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert model.generation_config.eos_token_id == [7, tokenizer.eos_token_id]
    assert model.generation_config.pad_token_id == tokenizer.pad_token_id
