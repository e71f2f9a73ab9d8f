from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

import alignc
from alignc.diagnostics import Span
from alignc.plan import machine
from alignc.plan.fit import hopeless
from alignc.plan.machine import Memory, parse_size
from alignc.plan.memory import FACTOR, Models, Phase, layer_bytes, phases, training_bytes
from alignc.plan.rows import Lengths, measure
from alignc.plan.schedule import Tokens, schedule
from alignc.plan.shapes import layout_of
from alignc.plan.weights import of_init
from alignc.plan.work import work

EXAMPLES = Path(__file__).parents[2] / "examples"
TRAIN: dict[str, Any] = {
    "per_device_train_batch_size": 2,
    "per_device_eval_batch_size": 2,
    "gradient_accumulation_steps": 1,
    "num_train_epochs": 3.0,
    "max_steps": -1,
    "rollout_epochs": 1,
    "rollout_minibatches": 1,
    "max_length": 64,
    "optim": "adamw_torch",
    "bf16": None,
    "activation_checkpointing": False,
    "layout": "auto",
    "eval_steps": None,
    "eval_on_start": False,
    "save_steps": 500,
    "save_total_limit": 2,
}
LAUNCH: dict[str, Any] = {
    "engine": "accelerate",
    "num_processes": 1,
    "zero_stage": 2,
    "offload": None,
    "mixed_precision": None,
}
DATA: dict[str, Any] = {"kind": "pairwise", "eval": None}
INIT = {
    "init": "llama",
    "hidden_size": 32,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
ROW = Tokens(
    backbone=30,
    scored=20,
    longest_backbone=30,
    longest_scored=20,
    prompt=10,
    responses=2,
    packed=True,
    sure="estimate",
)


def spec(
    train: dict[str, Any] | None = None, launch: dict[str, Any] | None = None, **data: Any
) -> dict[str, Any]:
    return {
        "train": TRAIN | (train or {}),
        "launch": LAUNCH | (launch or {}),
        "data": DATA | data,
        "model": {"dtype": None, "adapter": None},
    }


def models(**others: Any) -> Models:
    policy = of_init(INIT, None)
    return Models(policy, policy.number or 0, 0, len(policy.shapes), **others)


def item(found: tuple[Phase, ...], phase: str, what: str, role: str = "policy") -> tuple[int, str]:
    [one] = [i for p in found if p.name == phase for i in p.items if (i.role, i.what) == (role, what)]
    return one.bytes, one.sure


def real_model(**fields: Any) -> Any:
    given = {key: value for key, value in {**INIT, **fields}.items() if key != "init"}
    return AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", vocab_size=384, **given))


@pytest.mark.parametrize("optim", ["adamw_torch", "rmsprop", "sgd"])
def test_weights_gradients_and_optimizer_are_exact(optim: str):
    model = real_model()
    optimizer: torch.optim.Optimizer = {
        "adamw_torch": torch.optim.AdamW,
        "rmsprop": torch.optim.RMSprop,
        "sgd": torch.optim.SGD,
    }[optim](model.parameters(), lr=0.1)
    model(torch.arange(6)[None]).logits.sum().backward()
    gradients = sum(p.grad.nbytes for p in model.parameters())
    optimizer.step()
    state = [v.nbytes for s in optimizer.state.values() for v in s.values() if isinstance(v, torch.Tensor)]
    found = phases(spec({"optim": optim}), models(), ROW)
    assert item(found, "train step", "weights") == (sum(p.nbytes for p in model.parameters()), "exact")
    assert item(found, "train step", "gradients") == (gradients, "exact")
    assert item(found, "train step", "optimizer") == (sum(state), "exact")


def saved_bytes(model: Any, tokens: int) -> int:
    """Bytes of what autograd keeps of a forward, each storage once, without the weights."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        hidden = model.base_model(torch.randint(0, 384, (1, tokens))).last_hidden_state
    assert hidden.requires_grad
    return sum(storage.nbytes() for storage in kept.values())


@pytest.mark.parametrize(
    ("architecture", "fields"),
    [
        ("llama", {}),
        ("llama", {"num_key_value_heads": 4, "intermediate_size": 200}),
        ("qwen2", {"num_hidden_layers": 5}),
        ("qwen3", {"head_dim": 16}),
        ("mistral", {"hidden_size": 64}),
        ("gpt2", {}),
    ],
)
@pytest.mark.parametrize("tokens", [40, 160])
def test_activations_are_within_the_stated_factor(architecture: str, fields: dict[str, Any], tokens: int):
    given = {key: value for key, value in {**INIT, **fields}.items() if key != "init"}
    if architecture == "gpt2":
        given = {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 256}
    config = AutoConfig.for_model(architecture, vocab_size=384, **given)
    config._attn_implementation = "sdpa"
    model = AutoModelForCausalLM.from_config(config).train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    layout = layout_of(architecture, given, 384)
    predicted = training_bytes(layout, tokens, 0, 4, checkpointing=False)
    measured = saved_bytes(model, tokens)
    assert 1 / 1.3 < predicted / measured < 1.3 < FACTOR, (predicted, measured)


def test_zero_shares_out_what_its_stage_says():
    number = of_init(INIT, None).number or 0
    for stage, expected in ((1, (4, 4, 1)), (2, (4, 1, 1)), (3, (1, 1, 1))):
        launch = {"engine": "deepspeed", "num_processes": 4, "zero_stage": stage}
        found = phases(spec(launch=launch), models(), ROW)
        what = ("weights", "gradients", "float32 copy of the weights")
        sizes = [item(found, "train step", each) for each in what]
        assert sizes == [(number * share, "formula") for share in expected]
        assert item(found, "train step", "optimizer") == (2 * number, "formula")


def test_offload_takes_the_optimizer_off_the_device():
    launch = {"engine": "deepspeed", "num_processes": 2, "offload": "cpu"}
    found = phases(spec(launch=launch), models(), ROW)
    number = of_init(INIT, None).number or 0
    [step] = [p for p in found if p.name == "train step"]
    assert sum(i.bytes for i in step.items if i.where == "host") == 4 * number // 2 + 8 * number // 2
    assert step.total == sum(i.bytes for i in step.items if i.where == "device")


def test_rollouts_hold_keys_values_and_who_judges():
    """2 · 3 layers · (2 heads · 8) · (10 + 20 tokens) · (2 prompts · 2 responses) · 4 bytes."""
    online = spec(kind="prompts", completions_per_prompt=2, max_new_tokens=20)
    row = Tokens(50, 40, 50, 40, 10, 2, True, "bound")
    judge = of_init(INIT, None, rewards=True)
    found = phases(online, models(reference=of_init(INIT, None), reference_stays=True, rewards=(judge,)), row)
    assert [p.name for p in found] == ["load", "rollout", "train step", "save"]
    keys = item(found, "rollout", "keys and values of sampled responses")
    assert keys == (2 * 3 * 16 * 30 * 4 * 4, "bound")
    assert item(found, "rollout", "weights", "reward model") == (4 * (judge.number or 0), "exact")
    assert item(found, "rollout", "weights", "reference") == (4 * (of_init(INIT, None).number or 0), "exact")


def test_a_reference_that_is_the_policy_takes_no_memory_of_its_own():
    policy = of_init(INIT, None)
    own = Models(policy, policy.number or 0, 0, 1, reference=policy)
    other = Models(policy, policy.number or 0, 0, 1, reference=of_init(INIT, None))
    for held, expected in ((own, 1), (other, 2)):
        [chunk] = [p for p in phases(spec(), held, ROW) if p.name == "reference pass"]
        assert sum(i.bytes for i in chunk.items if i.what == "weights") == expected * policy.bytes


@pytest.mark.parametrize(
    ("train", "data", "rows", "steps", "rollouts"),
    [
        ({}, {}, 10, 15, None),
        ({"num_train_epochs": 0.5}, {}, 9, 3, None),
        ({"max_steps": 7}, {}, 10, 7, None),
        ({"gradient_accumulation_steps": 4}, {}, 9, 6, None),
        # widths 4, 4, 1: 4·2, 4·2 and 4·1 steps a pass, three passes
        ({"rollout_epochs": 4, "rollout_minibatches": 2}, {"kind": "prompts"}, 9, 60, 9),
        ({"rollout_epochs": 4, "rollout_minibatches": 2, "max_steps": 21}, {"kind": "prompts"}, 9, 21, 4),
        ({"rollout_epochs": 2}, {"kind": "self_play", "iterations": 3}, 5, 18, 3),
    ],
)
def test_steps_are_those_of_the_loop(
    train: dict[str, Any], data: dict[str, Any], rows: int, steps: int, rollouts: int | None
):
    found = schedule(spec(train, **data), Lengths(rows=rows))
    assert (found.steps, found.rollouts, found.sure) == (steps, rollouts, "exact")


def test_held_out_rows_make_steps_an_estimate():
    found = schedule(spec(eval={"fraction": 0.1}), Lengths(rows=100))
    assert (found.rows, found.steps, found.sure) == (90, 135, "estimate")


def test_work_follows_the_formula():
    """3·(2·N·T + 2·V·H·T_c + attention) a row; LoRA: 2 instead of 3, and one pass of the head for both."""
    held = models()
    linear = 3 * (2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 80)
    assert held.policy.linear == linear
    attention = 2 * 32 * 20**2 * 3 * 2
    row = 2 * linear * 30 + attention + 2 * 384 * 32 * 20
    plan = schedule(spec(), Lengths(rows=10))
    assert work(spec(), held, ROW, plan).step == 2 * 3 * row
    assert work(spec(), models(reference=held.policy), ROW, plan).reference_once == 10 * row
    frozen = Models(held.policy, 100, 100, 1)
    assert work(spec(), frozen, ROW, plan).step == 2 * 2 * row
    again = spec({"activation_checkpointing": True})
    assert work(again, held, ROW, plan).step == 2 * (3 * row + 2 * linear * 30 + attention)


def test_rows_are_measured_where_they_lie(tmp_path: Path):
    file = tmp_path / "pairs.jsonl"
    rows = [{"q": "ab", "chosen": "é", "rejected": "xyz"}, {"q": "abcd", "chosen": "x", "rejected": "y"}]
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    data = {"kind": "pairwise", "source": str(file), "columns": {"prompt": "q"}}
    found = measure(data, bytes_a_token=True)
    assert (found.rows, found.prompt, found.longest_prompt, found.longest_response) == (2, 3.0, 4, 4)
    assert found.response == (3 + 4 + 2 + 2) / 4
    assert measure(data | {"source": "org/rows"}, bytes_a_token=True).rows is None
    assert "does not exist" in measure(data | {"source": str(tmp_path / "no.jsonl")}, bytes_a_token=True).note


@pytest.mark.parametrize(
    ("text", "size"),
    [("16GiB", 16 << 30), ("80GB", 80 * 10**9), ("512 MiB", 512 << 20), ("1.5k", 1536), ("7", 7)],
)
def test_sizes_are_read(text: str, size: int):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "16 apples", "-3GiB"])
def test_what_is_no_size_is_refused(text: str):
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


SPEC = """\
objective: {preset: dpo}
model: {policy: {init: llama, hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2, intermediate_size: 64}}
data: {kind: pairwise, source: pairs.jsonl}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_text(SPEC)
    Path("pairs.jsonl").write_text('{"prompt": "1+1=", "chosen": "2", "rejected": "3"}\n' * 20)
    return tmp_path


def test_a_plan_is_a_typed_object(here: Path):
    found = alignc.plan("spec.yaml", memory=1 << 30)
    assert (found.schedule.rows, found.schedule.steps, found.fits) == (20, 9, "yes")
    assert found.memory == Memory(1 << 30, "as given")
    assert found.peak.total == max(phase.total for phase in found.phases)
    assert found.launch[1:3] == ("-m", "accelerate.commands.launch")
    assert [f.role for f in found.forwards] == ["policy", "reference"]
    assert found.cached


def test_fits_is_no_only_where_what_is_certain_is_too_much(here: Path):
    found = alignc.plan("spec.yaml")
    least = max(phase.least for phase in found.phases)
    assert alignc.plan("spec.yaml", memory=least - 1).fits == "no"
    assert alignc.plan("spec.yaml", memory=least).fits == "maybe"
    assert alignc.plan("spec.yaml", memory=found.peak.total).fits == "yes"
    assert alignc.plan("spec.yaml", ["model.policy=org/model"], memory=1).fits == "unknown"


def test_layers_grow_with_their_width():
    small, large = (layout_of("llama", INIT | {"intermediate_size": size}, 384) for size in (80, 160))
    assert layer_bytes(large, 4) - layer_bytes(small, 4) == 4 * 80 * 4


def test_hopeless_is_what_the_known_parts_alone_say():
    """A policy of n float32 weights under AdamW holds 16 n bytes in a step, and 8 bytes of counters a tensor."""
    planned = alignc.plan(EXAMPLES / "dpo.yaml")
    [policy, *_] = planned.sizes
    assert policy.parameters
    train = next(phase for phase in planned.phases if phase.name == "train step")
    assert 0 <= train.known.total - 16 * policy.parameters < 1 << 10
    assert train.known.total < train.least  # half of what is estimated counts there
    span = Span.at("dpo.yaml")
    assert hopeless(planned, Memory(train.known.total, "as given"), span) is None
    refused = hopeless(planned, Memory(train.known.total - 1, "as given"), span)
    assert refused is not None
    assert refused.code == "E606"


@pytest.mark.parametrize(
    ("hidden", "version", "expected"),
    [
        (None, "cuda: Optional[str] = '13.0'\n", 80),
        (None, "cuda: Optional[str] = None\n", 24),
        ("", "cuda: Optional[str] = '13.0'\n", 24),
    ],
)
def test_a_run_may_have_all_that_there_could_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hidden: str | None, version: str, expected: int
):
    """A GPU of 80 counts where torch can compute on it and it is not hidden; else 40 of memory and 8 of swap."""
    (tmp_path / "version.py").write_text(version)
    monkeypatch.setattr(
        machine.importlib.util, "find_spec", lambda name: SimpleNamespace(origin=tmp_path / "__init__.py")
    )
    monkeypatch.setattr(machine, "_gpu", lambda: 80)
    monkeypatch.setattr(machine, "_whole", lambda processes: Memory(40 // processes, "memory"))
    monkeypatch.setattr(machine, "_swap", lambda: 8)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    found = machine.most_of_machine(4, machines=2)
    assert found is not None
    assert found.bytes == expected
