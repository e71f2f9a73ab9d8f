"""The plan of several sources: the models of all at once, and the rows of one at a time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import alignc.api as alignc
from alignc.diagnostics import Span
from alignc.plan.build import ResourcePlan
from alignc.plan.fit import hopeless
from alignc.plan.machine import Memory
from alignc.plan.memory import Phase

EXAMPLES = Path(__file__).parents[2] / "examples"
TINY = "{init: llama, tokenizer: bytes, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2}"


def written(folder: Path, terms: str, *, critic: str = "") -> Path:
    rows = {
        "asked": [{"prompt": f"{n}+1=", "answer": str(n + 1)} for n in range(20)],
        "pairs": [{"prompt": f"{n}+1=", "chosen": str(n + 1), "rejected": "0"} for n in range(50)],
        "shown": [{"prompt": f"{n}+1=", "completion": str(n + 1)} for n in range(30)],
    }
    for name, each in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in each))
    asked = "completions_per_prompt: 4, max_new_tokens: 8, reward: {kind: verifier, name: exact_number}"
    path = folder / "mix.yaml"
    path.write_text(
        f"objective: {{terms: {terms}}}\n"
        "data:\n  sources:\n"
        f"    asked: {{kind: prompts, source: asked.jsonl, {asked}}}\n"
        + (
            "    pairs: {kind: pairwise, source: pairs.jsonl, eval: {fraction: 0.2}}\n"
            if "pairs" in terms
            else ""
        )
        + ("    shown: {kind: demonstrations, source: shown.jsonl}\n" if "shown" in terms else "")
        + f"model: {{policy: {TINY}{critic}}}\n"
        "train: {per_device_train_batch_size: 4, rollout_epochs: 2, num_train_epochs: 1, eval_steps: 3}\n"
    )
    return path


def items(phase: Phase) -> dict[tuple[str, str], int]:
    return {(item.role, item.what): item.bytes for item in phase.items}


def phases(plan: ResourcePlan) -> dict[str, Phase]:
    return {phase.name: phase for phase in plan.phases}


def test_the_models_of_every_source_are_in_memory_at_once(tmp_path: Path) -> None:
    """PPO's critic, a model of its own, and its reference stay while a step takes a batch of pairs."""
    terms = "[{preset: ppo, data: asked}, {preset: dpo, data: pairs}]"
    path = written(tmp_path, terms, critic=", critic: {kind: model}")
    whole, one = alignc.plan(path), alignc.plan(path, source="asked")
    assert list(phases(whole)) == [
        "load", "reference pass", "rollout", "train step 1", "train step 2", "eval", "save"
    ]  # fmt: skip
    sampled, given = (items(phases(whole)[f"train step {number}"]) for number in (1, 2))
    assert sampled == items(phases(one)["train step"])
    fixed = {key: size for key, size in given.items() if key[1] != "activations"}
    assert fixed == {key: size for key, size in sampled.items() if key[1] != "activations"}
    assert {("critic", "weights"), ("reference", "weights")} <= fixed.keys()
    assert whole.peak.total == max(phase.total for phase in whole.phases)
    assert ("reference", "weights") not in items(phases(whole)["reference pass"])  # it is the policy as it is


def test_rollouts_count_the_steps_and_each_source_adds_its_rows(tmp_path: Path) -> None:
    path = written(
        tmp_path, "[{preset: rloo, data: asked}, {preset: dpo, data: pairs}, {preset: sft, data: shown}]"
    )
    whole = alignc.plan(path)
    alone = {name: alignc.plan(path, source=name) for name in ("asked", "pairs", "shown")}
    assert list(whole.sources) == list(alone)
    assert whole.schedule.steps == alone["asked"].schedule.steps == 10
    assert whole.schedule.rollouts == 5
    assert whole.schedule.evaluations == 4  # of the pairs, every third step and the last
    assert whole.tokens_a_step == sum(plan.tokens_a_step for plan in alone.values())
    assert whole.work.step == pytest.approx(sum(plan.work.step or 0 for plan in alone.values()))
    assert whole.work.rollout == alone["asked"].work.rollout
    forwards = {each.role: each for each in whole.forwards}
    assert (forwards["policy"].forwards, forwards["policy"].backward) == (4 + 2 + 1, 4 + 2 + 1)


def test_given_sources_are_counted_by_the_longest() -> None:
    whole = alignc.plan(EXAMPLES / "mix.yaml")
    assert whole.schedule.steps == alignc.plan(EXAMPLES / "mix.yaml", source="shown").schedule.steps == 97


def test_a_mix_that_cannot_fit_is_refused(tmp_path: Path) -> None:
    whole = alignc.plan(written(tmp_path, "[{preset: grpo, data: asked}, {preset: sft, data: shown}]"))
    span = Span("mix.yaml", 1, 1, 1, 2)
    least = max(phase.known.total for phase in whole.phases)
    assert hopeless(whole, Memory(least, "as given"), span) is None
    refused = hopeless(whole, Memory(least - 1, "as given"), span)
    assert refused is not None
    assert refused.code == "E606"
    assert alignc.planned(tmp_path / "mix.yaml", memory=1000).refusal is not None
