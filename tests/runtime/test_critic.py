"""Values of states: by a head on the policy's trunk or by a critic of its own, made, trained, saved and resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, ByT5Tokenizer

from alignc.contract.failure import Failure
from alignc.contract.job import Job, job_from
from alignc.launch import launch
from alignc.runtime.data.example import Example
from alignc.runtime.engines.optim import build_optimizer
from alignc.runtime.models.critic import critic_of
from alignc.runtime.models.load import initial_model, ready, resumed_model, save_model
from alignc.runtime.scoring.micro import BatchLayout, choose_layout
from alignc.runtime.scoring.scorer import Scorer

from .fixtures import TINY, job_data, write_job, write_pairs
from .forks import Forks
from .test_engines import LOOP

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning",
    "ignore:Could not find a config file:UserWarning",  # no run has written a base here
)  # peft

ADAPTER = {"kind": "lora", "r": 2, "alpha": 4.0, "dropout": 0.0, "target_modules": "all-linear"}
HEAD, COPY = {"kind": "head"}, {"kind": "model", "path": None}
LOSS = '''
def loss(batch, totals):
    """The mean over tokens of -log p - 0.01 H + (V - 1)^2."""
    mask = batch["mask/completion"]
    errors = (batch["token_value/completion"] - 1).square() - 0.01 * batch["entropy/completion"]
    share = ((errors - batch["policy/completion"]) * mask).double().sum() / totals["tokens/completion"]
    values = (batch["token_value/completion"] * mask).detach().double().sum()
    return share, {"value": values / totals["tokens/completion"]}
'''
ROWS = [([3, 9, 4], [5, 6, 1]), ([2], [7, 3, 3, 1]), ([8, 8], [6])]
EXAMPLES = [
    Example(i, f"x:{i}", np.array(p, np.int32), (np.array(r, np.int32),)) for i, (p, r) in enumerate(ROWS)
]


def data(
    folder: Path, critic: dict[str, Any] | None, launch_section: Any = None, **changes: Any
) -> dict[str, Any]:
    """An SFT job whose loss also trains values and entropy."""
    source = write_pairs(folder / "rows.jsonl", 7, "sft")
    model = changes.pop("model", {}) | {"critic": critic}
    whole = job_data("sft", source, folder / "run", model=model, launch=launch_section, **changes)
    whole["plan"] |= {"outputs": ["token_value", "entropy"], "metrics": ["loss", "value"]}
    return whole


def job(folder: Path, critic: dict[str, Any] | None, **changes: Any) -> Job:
    folder.mkdir(parents=True, exist_ok=True)
    return job_from(data(folder, critic, **changes))


def written(folder: Path, contents: dict[str, Any]) -> Path:
    script = write_job(folder, contents) / "train.py"
    script.with_name("loss.py").write_text(LOSS, encoding="utf-8")
    return script


def made(read: Job) -> tuple[Any, BatchLayout]:
    model = ready(initial_model(read, ByT5Tokenizer()), read, torch.device("cpu"))
    return model, choose_layout(read, model, ByT5Tokenizer(), torch.device("cpu"), None)


def scatter(module: torch.nn.Module, seed: int = 3) -> None:
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)


def by_hand(backbone: Any, head: Any) -> torch.Tensor:
    """Each row by itself: the head on the hidden states of the prompt's last token and of all tokens but the last."""
    values = torch.zeros(3, 1, 4, dtype=torch.float64)
    for row, (prompt, response) in enumerate(ROWS):
        ids = torch.tensor([prompt + response])
        hidden = backbone(input_ids=ids).last_hidden_state[0, len(prompt) - 1 : -1]
        values[row, 0, : len(response)] = head(hidden)[:, 0].double()
    return values


@pytest.mark.parametrize("layout", ["packed", "padded"])
@pytest.mark.parametrize("critic", [None, HEAD, COPY], ids=["default", "head", "model"])
def test_a_value_is_that_of_the_state_before_its_token(tmp_path: Path, critic: Any, layout: str):
    read = job(tmp_path, critic, layout=layout, model={"dtype": "float64"})
    model, layout = made(read)
    batch, scorer = layout.batch(EXAMPLES), Scorer(model, outputs=read.needs.outputs)
    assert scorer(batch)["token_value"].tolist() == torch.zeros(3, 1, 4).tolist()
    own = critic_of(model) if critic == COPY else model
    head = own.score if critic == COPY else own.value_head
    scatter(own.base_model), scatter(head, 5)
    plain = initial_model(read, ByT5Tokenizer())
    plain.load_state_dict(model.state_dict())
    twin = critic_of(plain) if critic == COPY else plain
    expected = by_hand(twin.base_model, twin.score if critic == COPY else twin.value_head)
    found = scorer(batch)["token_value"]
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    weights = torch.linspace(0.5, 1.5, found.numel(), dtype=torch.float64).view_as(found)
    (found * weights * batch.mask).sum().backward()
    (expected * weights).sum().backward()
    wanted = {name: p.grad for name, p in plain.named_parameters() if p.grad is not None}
    got = {n: p.grad for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert got.keys() == wanted.keys()
    assert all(("critic." in name) == (critic == COPY) for name in got)
    for name, value in wanted.items():
        assert float((got[name] - value).norm() / value.norm()) < 1e-6, name  # Llama's norm rounds to float32


def test_a_copy_begins_as_the_policy_and_takes_no_draw(tmp_path: Path):
    before = torch.random.get_rng_state()
    model = initial_model(job(tmp_path, COPY), ByT5Tokenizer())
    assert torch.equal(torch.random.get_rng_state(), before)
    for name, value in critic_of(model).model.state_dict().items():
        other = model.model.state_dict()[name]
        assert torch.equal(value, other)
        assert value.data_ptr() != other.data_ptr()
    assert not critic_of(model).score.weight.any()
    alone = initial_model(job(tmp_path / "alone", HEAD), ByT5Tokenizer())
    assert all(
        torch.equal(value, model.state_dict()[n])
        for n, value in alone.model.state_dict(prefix="model.").items()
    )


def test_a_reward_model_brings_its_head(tmp_path: Path):
    plain = job(tmp_path, HEAD)
    model = initial_model(plain, ByT5Tokenizer())
    rewards = AutoModelForSequenceClassification.from_config(
        model.config.__class__(**model.config.to_dict() | {"num_labels": 1})
    )
    scatter(rewards)
    rewards.save_pretrained(tmp_path / "rewards")
    critic = critic_of(
        initial_model(job(tmp_path, {"kind": "model", "path": str(tmp_path / "rewards")}), ByT5Tokenizer())
    )
    assert all(torch.equal(value, rewards.state_dict()[name]) for name, value in critic.state_dict().items())
    model.save_pretrained(
        tmp_path / "policy", state_dict={n: v for n, v in model.state_dict().items() if "value_head" not in n}
    )
    critic = critic_of(
        initial_model(job(tmp_path, {"kind": "model", "path": str(tmp_path / "policy")}), ByT5Tokenizer())
    )
    assert torch.equal(critic.model.embed_tokens.weight, model.model.embed_tokens.weight)
    assert not critic.score.weight.any()


def test_a_critic_of_fewer_tokens_is_refused(tmp_path: Path):
    other = AutoModelForCausalLM.from_config(
        type(initial_model(job(tmp_path, HEAD), ByT5Tokenizer()).config)(
            vocab_size=9, **{k: v for k, v in TINY.items() if k not in ("init", "tokenizer")}
        )
    )
    other.save_pretrained(tmp_path / "small")
    with pytest.raises(Failure, match="the critic has 9 tokens"):
        initial_model(job(tmp_path, {"kind": "model", "path": str(tmp_path / "small")}), ByT5Tokenizer())


@pytest.mark.parametrize("critic", [HEAD, COPY], ids=["head", "model"])
@pytest.mark.parametrize("adapter", [None, ADAPTER], ids=["full", "lora"])
def test_a_saved_model_is_plain_and_comes_back_whole(tmp_path: Path, critic: Any, adapter: Any):
    read, tokenizer = job(tmp_path, critic, model={"adapter": adapter}), ByT5Tokenizer()
    model, _ = made(read)
    scatter(
        critic_of(model)
        if critic == COPY
        else model.get_submodule("base_model.model.value_head" if adapter else "value_head")
    )
    save_model(model, model.state_dict(), tokenizer, tmp_path / "saved")
    again = resumed_model(read, tokenizer, tmp_path / "saved").state_dict()
    assert again.keys() == model.state_dict().keys()
    assert all(torch.equal(value, again[name]) for name, value in model.state_dict().items())
    if adapter is None:
        _, told = AutoModelForCausalLM.from_pretrained(tmp_path / "saved", output_loading_info=True)
        assert not any(told.values()), told
    if critic == COPY:
        loaded, told = AutoModelForSequenceClassification.from_pretrained(
            tmp_path / "saved" / "critic", output_loading_info=True
        )
        assert not any(told.values()), told
        assert torch.equal(loaded.score.weight, critic_of(model).score.weight)
        assert loaded.config.num_labels == 1


@pytest.mark.parametrize("adapter", [None, ADAPTER], ids=["full", "lora"])
def test_every_parameter_of_a_critic_is_trained_under_one_name(tmp_path: Path, adapter: Any):
    read = job(tmp_path, COPY, model={"adapter": adapter})
    model, layout = made(read)
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    assert len(names) == len(set(names))
    trained = [
        p
        for group in build_optimizer(model.named_parameters(), read.spec.train).param_groups
        for p in group["params"]
    ]
    assert len({id(p) for p in trained}) == len(trained)
    own = dict(critic_of(model).named_parameters())
    assert {id(p) for p in own.values()} <= {id(p) for p in trained}
    scatter(critic_of(model).score)
    Scorer(model, outputs=["token_value"])(layout.batch(EXAMPLES))["token_value"].sum().backward()
    assert all(p.grad is not None for p in own.values())


def test_autocast_leaves_values_wide(tmp_path: Path):
    read = job(tmp_path, COPY)
    model, layout = made(read)
    scatter(critic_of(model).score)
    with torch.autocast("cpu", torch.bfloat16):
        found = Scorer(model, outputs=["token_value"])(layout.batch(EXAMPLES))["token_value"]
    assert found.dtype == torch.float32
    assert not torch.equal(found, found.bfloat16().float())


SAVING = {
    "save_steps": 1,
    "save_total_limit": 9,
    "gradient_accumulation_steps": 2,
    "per_device_train_batch_size": 1,
}


@pytest.mark.parametrize(
    ("critic", "adapter"), [(HEAD, None), (COPY, None), (COPY, ADAPTER)], ids=["head", "model", "lora"]
)
def test_a_killed_run_ends_in_the_same_bits(forks: Forks, tmp_path: Path, critic: Any, adapter: Any):
    outputs = []
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
        section = {"adapter": adapter} if adapter else {}
        script = written(
            tmp_path / name / "run" / "job", data(tmp_path / name, critic, model=section, **SAVING)
        )
        outputs.append(script.parents[1])
        if name == "whole":
            done = forks.run(script)
            assert done["status"] == 0, (outputs[0] / "status.json").read_text()
        else:
            assert forks.run(script, operation=done["operations"] // 2, when="before")["status"] == -9
            assert forks.run(script, "--resume")["status"] == 0
    compare(*outputs)
    rows = [json.loads(line) for line in (outputs[0] / "metrics.jsonl").read_text().splitlines()]
    assert rows[0]["value"] == 0
    assert rows[-1]["value"] > 0.01


def compare(whole: Path, other: Path) -> None:
    files = [path.relative_to(whole) for path in (whole / "model").rglob("*.safetensors")]
    files += [path.relative_to(whole) for path in (whole / "checkpoints" / "step-4").rglob("*.safetensors")]
    assert len(files) > 3
    for file in (Path("metrics.jsonl"), *files):
        assert (other / file).read_bytes() == (whole / file).read_bytes(), file


def test_the_best_model_keeps_its_own_critic(forks: Forks, tmp_path: Path):
    held_out = {"eval": {"source": str(write_pairs(tmp_path / "held_out.jsonl", 3, "sft")), "split": "train"}}
    best = {"eval_steps": 1, "metric_for_best_model": "loss", "greater_is_better": True}
    script = written(tmp_path / "run" / "job", data(tmp_path, COPY, data=held_out, **SAVING, **best))
    assert forks.run(script)["status"] == 0, (script.parents[1] / "status.json").read_text()
    first, last, final = (
        load_file(script.parents[1] / folder / "critic" / "model.safetensors")
        for folder in ("checkpoints/step-1", "checkpoints/step-4", "model")
    )
    assert all(torch.equal(value, first[name]) for name, value in final.items())
    assert not torch.equal(first["score.weight"], last["score.weight"])


@pytest.mark.engines
@pytest.mark.parametrize(
    "engine", [{"engine": "accelerate"}, {"engine": "deepspeed", "zero_stage": 2}], ids=["ddp", "zero2"]
)
def test_two_ranks(forks: Forks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Any):
    """Against one process on the same global batch, and resumed from the last checkpoint but one in the same bits."""
    monkeypatch.setenv("ALIGNC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    section, runs = {"num_processes": 2, **engine, "timeout": 300}, tmp_path / "runs"
    one = SAVING | {"optim": "sgd", "learning_rate": 0.1}
    for name, critic in (("head", HEAD), ("model", COPY)):
        (tmp_path / name).mkdir()
        contents = data(tmp_path / name, critic, section, **one)
        contents["spec"]["output_dir"] = str(runs / name)
        written(runs / name / "job", contents)
        alone = written(
            tmp_path / name / "run" / "job",
            data(tmp_path / name, critic, **one | {"per_device_train_batch_size": 2}),
        )
        assert forks.run(alone)["status"] == 0
    loop = write_job(runs / "loop" / "job", job_data("sft", tmp_path, runs / "loop", launch=section))
    (loop / "train.py").write_text(LOOP)
    outcome = launch(loop, fingerprint="", show=lambda line: None)
    assert outcome.exit_code == 0, (outcome, (runs / "loop" / "run.log").read_text()[-3000:])
    for name in ("head", "model"):
        wanted = (tmp_path / name / "run" / "metrics.jsonl").read_text().splitlines()
        got = (runs / name / "metrics.jsonl").read_text().splitlines()
        for one_row, two_row in zip(wanted, got, strict=True):
            assert json.loads(two_row) == pytest.approx(json.loads(one_row), rel=1e-5, abs=1e-5)
        for path in (runs / "kept" / name).rglob("*.safetensors"):
            again = runs / name / path.relative_to(runs / "kept" / name)
            assert again.read_bytes() == path.read_bytes(), again
