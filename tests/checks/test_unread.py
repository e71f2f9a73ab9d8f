"""Settings that nothing reads: each is found at its place, and what does have an effect is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from .test_findings import found, place

MODEL = "model: {policy: x/y}\n"
PAIRS = "data: {kind: pairwise, source: x/y}\n"
JUDGE = "reward: {kind: function, name: 'judges:mark'}"
ORACLE = "oracle: {kind: function, name: 'judges:better'}"
TERM = "objective:\n  terms:\n  - name: policy\n    kind: policy_gradient\n"


def prompts(*fields: str) -> str:
    return f"{MODEL}data: {{{', '.join(('kind: prompts', 'source: x/y', *fields))}}}\n"


def self_play(*fields: str) -> str:
    return f"{MODEL}data: {{{', '.join(('kind: self_play', 'source: x/y', *fields))}}}\n"


DPO = f"objective: {{preset: dpo}}\n{MODEL}{PAIRS}"
REINFORCE = "objective: {preset: reinforce}\n"
SPPO = "objective: {preset: sppo}\n"
OWN = "objective:\n  terms:\n  - {preset: ppo, "

CASES = [
    DPO + "train: {rollout_epochs: ⟦2⟧}\n",
    DPO + "train: {rollout_minibatches: ⟦4⟧}\n",
    SPPO + self_play(ORACLE) + "train: {num_train_epochs: ⟦2⟧}\n",
    f"objective: {{preset: dpo}}\nmodel: {{policy: x/y, critic: ⟦{{kind: head}}⟧}}\n{PAIRS}",
    REINFORCE + prompts(JUDGE).replace("x/y}", "x/y, critic: ⟦{kind: head}⟧}", 1),
    REINFORCE + prompts(JUDGE, "opponent: ⟦{kind: mixture}⟧"),
    SPPO + self_play(ORACLE, "missing_eos_reward: ⟦-1⟧"),
    "objective: {preset: spin}\n" + self_play("completions_per_prompt: ⟦2⟧"),
    "objective: {preset: ppo}\n"
    + prompts(JUDGE).replace("x/y}", "x/y, critic: {kind: head, path: ⟦x/z⟧}}", 1),
    SPPO + self_play(ORACLE).replace("x/y}", "x/y, reference: {kind: ⟦path⟧, path: x/z}}", 1),
    "objective: {preset: rebel}\n" + prompts(JUDGE).replace("x/y}", "x/y, reference: {kind: ⟦ema⟧}}", 1),
    "objective: {preset: rloo, kl: {anchor: ⟦previous_iterate⟧}}\n"
    + prompts(JUDGE, "completions_per_prompt: 8"),
    TERM + "    ratio: ⟦sequence⟧\n" + prompts(JUDGE),
    TERM + "    gae_lambda: ⟦0.5⟧\n" + prompts(JUDGE),
    TERM + "    kl: {beta: 0, adaptive: ⟦{target: 3}⟧}\n" + prompts(JUDGE),
    f"objective: {{preset: sppo, iterations: ⟦2⟧}}\n{MODEL}data: {{kind: scored, source: x/y}}\n",
    "objective: {preset: sppo, iterations: ⟦2⟧}\n" + self_play(ORACLE, "iterations: 3"),
    "objective: {preset: sppo, iterations: ⟦2⟧}\n" + prompts(ORACLE),
    "objective: {preset: sppo, hard: true, partition: ⟦batch_mean⟧}\n" + self_play(ORACLE),
    "objective: {preset: sppo, hard: true, select: ⟦best_worst⟧}\n" + self_play(ORACLE),
    "objective: {preset: reinforce_pp, epochs: ⟦2⟧}\n" + prompts(JUDGE) + "train: {rollout_epochs: 1}\n",
    "objective: {preset: nash_md, mixture: ⟦0.3⟧}\n"
    + prompts(ORACLE, "opponent: {kind: mixture, weight: 0.5}"),
    "objective: {preset: nash_md, mixture: ⟦0.3⟧}\n"
    + prompts(ORACLE, "opponent: {kind: policy}", "completions_per_prompt: 2"),
    OWN + "epochs: ⟦2⟧}\n" + prompts(JUDGE),
]

QUIET = [
    DPO + "train: {rollout_epochs: 1}\n",
    "objective: {preset: ppo, epochs: 2}\n" + prompts(JUDGE),
    "objective: {preset: ppo, epochs: 2}\n" + prompts(JUDGE) + "train: {rollout_epochs: 2}\n",
    "objective: {preset: ppo, clip_range: 0.1, kl: {beta: 0.1}, value_weight: 0.2, whiten: false}\n"
    + prompts(JUDGE).replace("x/y}", "x/y, critic: {kind: model}}", 1),
    "objective: {preset: sppo, iterations: 2, completions_per_prompt: 4, select: best_worst}\n"
    + self_play(ORACLE),
    "objective: {preset: sppo, eta: 10, hard: true}\n" + self_play(ORACLE),
    "objective: {preset: nash_md, mixture: 0.3}\n" + prompts(ORACLE),
    SPPO + self_play(ORACLE, JUDGE, "missing_eos_reward: -1"),
    TERM + "    surrogate: importance\n    ratio: sequence\n" + prompts(JUDGE),
    TERM + "    ratio: sequence\n    kl: {estimator: k3, placement: ratio}\n" + prompts(JUDGE),
    SPPO
    + self_play(ORACLE, "eval: {fraction: 0.1}").replace(
        "x/y}", "x/y, reference: {kind: path, path: x/z}}", 1
    ),
    "objective: {preset: grpo}\n"
    + prompts(JUDGE).replace("x/y}", "x/y, reference: {kind: previous_iterate}}", 1),
    "objective: {preset: ipo, tau: 0.2, reduce: mean}\n" + MODEL + PAIRS,
    "objective: {preset: copg, beta: 0.2, normalized: false}\n"
    + MODEL
    + "data: {kind: scored, source: x/y}\n",
]


@pytest.mark.parametrize("marked", CASES)
def test_what_nothing_reads_is_found_at_its_place(marked: str, tmp_path: Path) -> None:
    spans = [d.span for d in found(marked, tmp_path) if d.code == "W114"]
    assert [(s.line, s.column, s.end_line, s.end_column) for s in spans] == [place(marked)]


@pytest.mark.parametrize("spec", QUIET)
def test_what_has_an_effect_is_left_alone(spec: str, tmp_path: Path) -> None:
    assert "W114" not in [d.code for d in found(spec, tmp_path)]


def test_a_flag_counts_as_written(tmp_path: Path) -> None:
    from alignc.api import validate

    file = tmp_path / "spec.yaml"
    file.write_text(DPO, "utf-8")
    (finding,) = validate(file, ["train.rollout_epochs=3"]).diagnostics
    assert (finding.code, finding.span.file) == ("W114", "--set")
