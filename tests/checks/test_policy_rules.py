"""Every rule of policy gradients and sampled data: a spec that earns it, at its place, and one that does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from alignc.api import validate

from .test_kl_rules import found, place

MODEL = "model: {policy: x/y}\n"
JUDGE = "reward: {kind: function, name: 'judges:mark'}"
VERIFIER = "reward: {kind: verifier, name: exact_number}"
ORACLE = "oracle: {kind: verifier, name: exact_number}"


def data(*fields: str, kind: str = "prompts", judge: str = JUDGE) -> str:
    more = ", ".join(("", *fields, *([judge] if judge else [])))
    return f"{MODEL}data: {{kind: {kind}, source: x/y{more}}}\n"


def term(*fields: str, k: int = 8, train: str = "", rows: tuple[str, ...] = (), judge: str = JUDGE) -> str:
    """Write a policy gradient of one term, its fields a line each."""
    head = "objective:\n  terms:\n    - name: policy\n      kind: policy_gradient\n"
    body = "".join(f"      {f}\n" for f in fields)
    return f"{head}{body}{data(f'completions_per_prompt: {k}', *rows, judge=judge)}{train}"


def held(estimator: str, placement: str, granularity: str = "sequence") -> str:
    """Write a leave-one-out policy gradient that is held by one estimator."""
    fields = f"estimator: {estimator}, placement: {placement}, granularity: {granularity}, beta: 0.1"
    return term("baseline: leave_one_out", f"kl: {{{fields}}}")


TWICE = "train: {rollout_epochs: 2}\n"
STD = "baseline: {kind: group_mean, std: true}"
K1 = "kl: {estimator: k1, placement: reward, beta: 0.05}"
SPPO = "objective: {preset: sppo}\n"
NASH = "objective: {preset: nash_md, terms: {policy: {kl: null}}}\n"
LONG = "max_new_tokens: 512"
PULL = """objective:
  terms:
    - {name: policy, kind: policy_gradient}
    - name: pull
      kind: kl
      on: completions
"""
CRITIC = "objective:\n  terms:\n    - {name: policy, kind: policy_gradient, baseline: value}\n"
VALUE = "    - {name: value, kind: value}\n"

CASES = [
    ("E103", f"objective: {{preset: rloo}}\n{MODEL}data: ⟦{{kind: prompts, source: x/y}}⟧\n"),
    ("E103", f"objective: {{preset: online_dpo}}\n{MODEL}data: ⟦{{kind: prompts, source: x/y}}⟧\n"),
    ("E103", f"objective: {{preset: copg}}\n{MODEL}data: ⟦{{kind: prompts, source: x/y}}⟧\n"),
    ("E104", f"objective: {{preset: sppo}}\n{MODEL}data: ⟦{{kind: self_play, source: x/y}}⟧\n"),
    ("E104", f"{NASH}{MODEL}data: ⟦{{kind: prompts, source: x/y}}⟧\n"),
    ("E104", "objective: {terms: [{name: p, kind: policy_gradient, reward: win_rate}]}\n"
     + data("completions_per_prompt: ⟦1⟧", judge=ORACLE)),
    ("E105", term("baseline: ⟦leave_one_out⟧", k=1)),
    ("E105", term("baseline: ⟦group_mean⟧", k=1)),
    ("E105", term("baseline: ⟦other⟧", k=3)),
    ("E106", term("baseline: ⟦value⟧")),
    ("E106", "objective:\n  terms:\n    - {name: p, kind: policy_gradient}\n    - ⟦{name: v, kind: value}⟧\n" + data()),
    ("E110", "objective: {preset: rloo}\n" + data("completions_per_prompt: 8").replace(
        "x/y}", "x/y, reference: {kind: ⟦none⟧}}", 1)),
    ("E111", "objective:\n  terms:\n    - {name: p, kind: policy_gradient, surrogate: importance}\n"
     + MODEL + "data: {kind: ⟦scored⟧, source: x/y}\n"),
    ("E301", "objective:\n  terms:\n    - {name: p, kind: policy_gradient, baseline: leave_one_out}\n"
     + MODEL + "data: {kind: ⟦scored⟧, source: x/y}\n"),
    ("E201", held("⟦k1⟧", "loss")),
    ("E201", held("⟦k1⟧", "loss", "token")),
    ("E203", held("⟦k2⟧", "reward")),
    ("E203", held("⟦k2⟧", "reward", "token")),
    ("E204", held("⟦k3⟧", "reward")),
    ("E205", held("⟦abs⟧", "reward")),
    ("W206", held("⟦k3⟧", "loss")),
    ("W207", held("⟦abs⟧", "loss")),
    ("W208", held("⟦k2⟧", "ratio")),
    ("W209", term("kl:", "  estimator: k2", "  placement: loss", "  granularity: ⟦token⟧")),
    ("W209", term("kl:", "  estimator: k3", "  placement: ratio", "  granularity: ⟦token⟧")),
    ("W210", term(K1, "discount: ⟦0.99⟧")),
    ("W213", term("surrogate: importance", "kl:", "  placement: ⟦reward⟧", "  beta: 0.05", train=TWICE)),
    ("W213", term("surrogate: importance", "kl:", "  placement: ⟦reward⟧", train="train: {rollout_minibatches: 4}\n")),
    ("W303", term("surrogate: clipped", "ratio: ⟦sequence⟧", "aggregation: token_mean", rows=(LONG,), train=TWICE)),
    ("W304", term("surrogate: ⟦clipped⟧")),
    ("W304", term("surrogate: ⟦{kind: cispo, low: 0.2, high: 0.2}⟧")),
    ("W307", term("baseline: ⟦group_mean⟧")),
    ("W310", term("aggregation: ⟦token_mean⟧")),
    ("W311", term("baseline: leave_one_out", rows=(), k=2, judge=VERIFIER)),
    ("W312", term(rows=("temperature: ⟦0.7⟧",))),
    ("W312", term(rows=("top_p: ⟦0.9⟧",))),
    ("W312", term(rows=("top_k: ⟦20⟧",))),
    ("W312", term(rows=("min_p: ⟦0.1⟧",))),
    ("W312", "objective: {preset: online_dpo}\n"
        + data("temperature: 0.7", "min_p: ⟦0.1⟧", "completions_per_prompt: 2")),
    ("W114", "objective: {preset: spin}\n" + data("temperature: 0", "top_k: ⟦5⟧", kind="self_play", judge="")),
    ("W312", "objective: {preset: copg}\n" + data("top_k: ⟦20⟧", "completions_per_prompt: 2")),
    ("W312", "objective: {preset: copg}\n" + data("min_p: ⟦0.1⟧", "completions_per_prompt: 2")),
    ("W312", "objective: {preset: spin}\n" + data("temperature: ⟦0.7⟧", kind="self_play", judge="")),
    ("W312", "objective: {preset: copg}\n" + data("top_p: ⟦0.9⟧", "completions_per_prompt: 2")),
    ("W312", "objective: {preset: online_dpo}\n"
        + data("temperature: 0.7", "top_p: ⟦0.9⟧", "completions_per_prompt: 2")),
    ("W312", SPPO + data("temperature: ⟦0.7⟧", "completions_per_prompt: 5", kind="self_play", judge=ORACLE)),
    ("W312", "objective:\n  terms:\n    - {name: pull, kind: kl, on: completions, estimator: k2}\n"
     + data("temperature: ⟦2.0⟧")),
    ("W311", term(judge="reward: ⟦{kind: verifier, name: exact_number, weight: 0}⟧")),
    ("W114", CRITIC + "    - {name: value, kind: value, weight: ⟦0⟧}\n" + data()),
    ("W503", "objective: {preset: rloo, terms: {bonus: {kind: entropy, weight: ⟦-0.01⟧}}}\n"
     + data("completions_per_prompt: 8")),
    ("W503", PULL + "      weight: ⟦-1⟧\n" + data()),
    ("W503", CRITIC + "    - {name: value, kind: value, weight: ⟦-1⟧}\n" + data()),
    ("E201", PULL + "      estimator: ⟦k1⟧\n" + data()),
    ("W206", PULL + "      estimator: ⟦k3⟧\n" + data()),
    ("W313", term("surrogate: ⟦reinforce⟧", train=TWICE)),
    ("W311", term(judge="reward: ⟦{kind: column, name: score}⟧")),
    ("E104", SPPO + data(kind="self_play", judge="oracle: ⟦{kind: column, name: score}⟧")),
    ("E104", SPPO + data(
        kind="self_play",
        judge="oracle: ⟦{kind: bradley_terry, reward: [{kind: column, name: score}]}⟧")),
    ("E105", "objective: {preset: online_dpo}\n" + data("completions_per_prompt: ⟦1⟧")),
    ("E105", "objective: {preset: copg}\n" + data("completions_per_prompt: ⟦1⟧")),
    ("E104", "objective: {preset: sppo, select: best_worst}\n"
     + data("completions_per_prompt: ⟦1⟧", kind="self_play", judge=ORACLE)),
    ("E105", "objective: {preset: rebel}\n" + data("temperature: ⟦0⟧")),
    ("E105", SPPO + data("temperature: ⟦0⟧", kind="self_play", judge=ORACLE)),
]  # fmt: skip

SILENT = [
    ("E103", "objective: {preset: rloo}\n" + data()),
    ("E103", "objective: {preset: online_dpo}\n" + data(judge=ORACLE)),
    ("E103", "objective: {preset: spin}\n" + data(kind="self_play", judge="")),
    ("E104", "objective: {preset: sppo}\n" + data(kind="self_play", judge=ORACLE)),
    ("E104", NASH + data(judge=ORACLE)),
    ("E105", term("baseline: leave_one_out", k=2)),
    ("E105", term("baseline: other", k=2)),
    ("E105", term("baseline: batch_mean", k=1)),
    ("E106", "objective:\n  terms:\n    - {name: policy, kind: policy_gradient, baseline: value}\n" + VALUE + data()),
    ("E111", term("surrogate: importance")),
    ("E301", term("surrogate: reinforce")),
    ("E201", held("k1", "reward")),
    ("E201", held("k1", "ratio")),
    ("E203", held("k2", "loss")),
    ("E203", held("k1", "reward", "token")),
    ("E204", held("k3", "ratio")),
    ("E205", held("'u+1'", "reward")),
    ("W206", held("k2", "loss")),
    ("W207", held("'u**2/2'", "loss")),
    ("W208", held("k3", "ratio")),
    ("W209", term(K1)),
    ("W210", term(K1, "discount: 1")),
    ("W210", term("discount: 0.99")),
    ("W213", term(K1)),
    ("W213", term(
        "surrogate: importance", "kl: {estimator: k2, placement: loss, granularity: sequence}", train=TWICE)),
    ("W303", term("surrogate: clipped", "aggregation: sequence_mean", rows=(LONG,), train=TWICE)),
    ("W304", term("surrogate: clipped", train=TWICE)),
    ("W304", term("surrogate: importance")),
    ("W307", term("baseline: leave_one_out")),
    ("W310", term("aggregation: global_token_mean")),
    ("W311", term("baseline: leave_one_out", k=8, judge=VERIFIER)),
    ("W311", term("baseline: leave_one_out", k=2)),
    ("W311", term("baseline: none", k=2, judge=VERIFIER)),
    ("W312", term(rows=("temperature: 1.0", "top_p: 1.0"))),
    ("W312", term(rows=("top_k: null", "min_p: 0", "stop: ['Q:', '###']"))),
    ("W312", SPPO + data("completions_per_prompt: 5", kind="self_play", judge=ORACLE)),
    ("W312", "objective: {preset: copg}\n" + data("temperature: 0.7", "completions_per_prompt: 2")),
    ("W311", term(judge="reward: [{kind: verifier, name: exact_number}, {kind: verifier, name: length, "
                  "limit: 9, weight: 0}]")),
    ("W114", CRITIC + "    - {name: value, kind: value, weight: 0.1}\n" + data()),
    ("W114", CRITIC + "    - {name: value, kind: value, weight: 0}\n"
     + data().replace("x/y}", "x/y, critic: {kind: model, path: x/y}}", 1)),
    ("W503", "objective: {preset: rloo, terms: {bonus: {kind: entropy, weight: 0.01}}}\n"
     + data("completions_per_prompt: 8")),
    ("E201", PULL + "      estimator: k2\n" + data()),
    ("E110", "objective: {preset: ppo, kl: null}\n" + data().replace("x/y}", "x/y, reference: {kind: none}}", 1)),
    ("W313", term("surrogate: importance", train=TWICE)),
    ("W311", term(judge="reward: [{kind: column, name: score}, {kind: verifier, name: length, limit: 9}]")),
    ("E105", "objective: {preset: online_dpo}\n" + data("completions_per_prompt: 2")),
    ("E105", "objective: {preset: spin}\n" + data("temperature: 0", kind="self_play", judge="")),
]  # fmt: skip


@pytest.mark.parametrize(("code", "marked"), CASES, ids=[f"{c}-{i}" for i, (c, _) in enumerate(CASES)])
def test_a_rule_points_at_its_cause(code: str, marked: str, tmp_path: Path) -> None:
    said = found(marked.replace("⟦", "").replace("⟧", ""), tmp_path)
    assert [c for c, _, _ in said] == [code]
    if (where := place(marked)) is not None:
        assert said[0][1:] == where


@pytest.mark.parametrize(("code", "text"), SILENT, ids=[f"{c}-{i}" for i, (c, _) in enumerate(SILENT)])
def test_a_sound_relative_is_silent(code: str, text: str, tmp_path: Path) -> None:
    assert found(text, tmp_path) == []


def test_every_rule_of_this_file_has_a_silent_relative() -> None:
    assert {c for c, _ in CASES} == {c for c, _ in SILENT}


def test_what_comes_with_a_standard_deviation(tmp_path: Path) -> None:
    """W308 beside W307 where the KL is in the loss, and not where it is in the reward; W309 for k = 2 alone."""
    inside = "kl: {estimator: k2, placement: loss, granularity: sequence}"
    above = "kl: {estimator: k1, placement: reward, granularity: sequence}"
    assert codes(term(STD), tmp_path) == ["W307"]
    assert codes(term(STD, inside), tmp_path) == ["W307", "W308"]
    assert codes(term(STD, above), tmp_path) == ["W307"]
    assert codes(term(STD, k=2), tmp_path) == ["W307", "W309"]
    assert codes(term("baseline: group_mean", k=2), tmp_path) == ["W307"]


def codes(text: str, folder: Path) -> list[str]:
    return sorted(c for c, _, _ in found(text, folder))


@pytest.mark.parametrize("placement", ["reward", "loss", "ratio"])
def test_full_is_refused_against_a_model_of_which_one_number_a_token_is_kept(
    placement: str, tmp_path: Path
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        held("full", placement).replace("beta: 0.1}", "beta: 0.1, anchor: previous_iterate}"), "utf-8"
    )
    (said,) = validate(spec).diagnostics
    assert said.code == "E004"
    assert "not `previous_iterate`" in said.message


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("ppo", ["W213"]),
        ("reinforce", []),
        ("rloo", []),
        ("grpo", ["W206", "W209", "W304", "W307", "W308", "W310"]),
        ("dr_grpo", ["W304", "W307"]),
        ("dapo", ["W304", "W307"]),
        ("gspo", ["W304", "W307", "W310"]),
        ("cispo", ["W304", "W307"]),
        ("reinforce_pp", ["W304"]),
        ("online_dpo", []),
        ("copg", []),
        ("rebel", []),
    ],
)
def test_what_is_said_of_the_methods_as_published(preset: str, expected: list[str], tmp_path: Path) -> None:
    assert codes(f"objective: {{preset: {preset}}}\n" + data(), tmp_path) == expected


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("placement: loss", "in the loss, `beta` is fixed"),
        ("anchor: previous_iterate", "the initial reference, which is fixed"),
    ],
)
def test_an_adaptive_strength_follows_what_is_measured(where: str, words: str, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    kl = f"kl: {{estimator: k1, beta: 0.1, adaptive: {{target: 3}}, {where}}}"
    spec.write_text(term("baseline: leave_one_out", kl), "utf-8")
    (said,) = [d for d in validate(spec).diagnostics if d.severity == "error"]
    assert said.code == "E003"
    assert words in said.message
