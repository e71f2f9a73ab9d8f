"""Every check: a spec that it finds fault with, and the place, marked by ⟦ ⟧."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from alignc.api import validate
from alignc.diagnostics import Diagnostic

REST = "model: {policy: x/y}\ndata: {kind: pairwise, source: x/y}\n"
HELD = "model: {policy: x/y}\ndata: {kind: pairwise, source: x/y, eval: {fraction: 0.1}}\n"
SAMPLED = (
    "model: {policy: x/y}\ndata: {kind: prompts, source: x/y, reward: {kind: http, url: 'http://h/r'}}\n"
)
REINFORCE = "objective: {preset: reinforce}\n"
DPO = "objective: {preset: dpo}\n"
FRESH = "model: {{policy: {{init: {}}}}}\ndata: {{kind: pairwise, source: x/y}}\n"
PREF = "objective:\n  terms:\n  - name: pref\n    kind: preference\n"


def found(marked: str, folder: Path) -> list[Diagnostic]:
    file = folder / "spec.yaml"
    file.write_text(re.sub("[⟦⟧]", "", marked), "utf-8")
    return list(validate(file).diagnostics)


def place(marked: str) -> tuple[int, int, int, int]:
    """Find the marked span: lines and columns from 1, the end exclusive."""
    before, _, rest = marked.partition("⟦")
    inside = rest.partition("⟧")[0]
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    assert "\n" not in inside
    return line, column, line, column + len(inside)


CASES = [
    ("E101", "objective: {preset: dpo}\nmodel: {policy: x/y}\ndata: {kind: ⟦demonstrations⟧, source: x/y}\n"),
    ("E101", "objective: {preset: simpo}\nmodel: {policy: x/y}\ndata: {kind: ⟦pointwise⟧, source: x/y}\n"),
    ("E102", "objective: {preset: kto}\nmodel: {policy: x/y}\ndata: {kind: ⟦demonstrations⟧, source: x/y}\n"),
    ("E102", "objective: {preset: bco}\nmodel: {policy: x/y}\ndata: {kind: ⟦scored⟧, source: x/y}\n"),
    (
        "E106",
        "objective:\n  preset: dpo\n  terms:\n    nll: {kind: likelihood, on: ⟦completion⟧}\n" + REST,
    ),
    (
        "E110",
        "objective: {preset: dpo}\nmodel: {policy: x/y, reference: {kind: ⟦none⟧}}\n"
        "data: {kind: pairwise, source: x/y}\n",
    ),
    ("E401", "objective:\n  preset: dpo\n  terms: {pref: {score: {reduce: ⟦mean⟧}}}\n" + REST),
    ("E401", "objective:\n  preset: ipo\n  terms: {pref: {score: {reduce: ⟦mean⟧}}}\n" + REST),
    ("E401", "objective:\n  preset: r_dpo\n  terms:\n    pref:\n      score: {reduce: ⟦mean⟧}\n" + REST),
    ("E401", "objective:\n  preset: simpo\n  terms: {pref: {score: {reduce: ⟦sum⟧}}}\n" + REST),
    ("E402", PREF + "    score: {of: log_odds, reduce: ⟦sum⟧}\n" + REST),
    ("E402", "objective:\n  preset: orpo\n  terms: {odds: {score: {reduce: ⟦sum⟧}}}\n" + REST),
    ("E403", PREF + "    score: {of: log_odds, reduce: mean, anchor: ⟦initial⟧}\n" + REST),
    ("E404", "objective: {preset: dpo, label_smoothing: ⟦0.6⟧}\n" + REST),
    ("E404", "objective: {preset: robust_dpo, label_smoothing: ⟦0.5⟧}\n" + REST),
    ("E404", "objective:\n  preset: robust_dpo\n  label_smoothing: ⟦0.7⟧\n" + REST),
    ("W405", "objective: {preset: dpo, label_smoothing: ⟦0.5⟧}\n" + REST),
    ("W406", PREF + "    score: {of: ⟦log_prob⟧, beta: 0.1}\n" + REST),
    ("W502", "objective: {preset: r_dpo, alpha: ⟦-0.05⟧}\n" + REST),
    ("E501", PREF + "    weight: ⟦-1⟧\n" + REST),
    ("E501", PREF + "    link: ⟦softplus(z)⟧\n" + REST),
    ("E501", PREF + "    link: {kind: formula, formula: ⟦sigmoid(z)⟧}\n" + REST),
    ("E004", DPO + "model: {policy: x/y, reference: {kind: ⟦ema⟧}}\ndata: {kind: pairwise, source: x/y}\n"),
    (
        "E004",
        "objective: {preset: sppo}\nmodel: {policy: x/y, reference: {kind: ⟦previous_iterate⟧}}\n"
        "data: {kind: scored, source: x/y}\n",
    ),
    (
        "E002",
        "objective: {terms: [{preset: dpo, data: a}]}\nmodel: {policy: x/y}\n"
        "data: {sources: {a: {kind: pairwise, source: x/y}}, ⟦max_rows⟧: 3}\n",
    ),
    ("E101", "objective: {preset: reward_model}\n" + SAMPLED.replace("prompts", "⟦prompts⟧")),
    ("E002", "objective: {preset: rloo, ⟦beta⟧: 0.1}\n" + SAMPLED),
    ("E002", "objective: {preset: ppo, ⟦vf_coef⟧: 0.1}\n" + SAMPLED),
    ("E004", DPO + SAMPLED.replace("'http://h/r'", "⟦'http://me:secret@h/r'⟧")),
    (
        "E004",
        REINFORCE + SAMPLED.replace("reward:", "max_new_tokens: ⟦64⟧, reward:") + "train: {max_length: 64}\n",
    ),
    ("E004", PREF + "    link: ⟦sqrt(z)⟧\n" + REST),
    ("E004", PREF + "    link: {kind: formula, formula: ⟦1/z⟧}\n" + REST),
    ("E004", "objective: {preset: rloo, kl: {estimator: ⟦log(u)⟧, placement: loss}}\n" + SAMPLED),
    ("E004", "objective: {preset: rloo, kl: {estimator: ⟦sqrt(abs(u))⟧, placement: loss}}\n" + SAMPLED),
    ("E003", "objective: {preset: ppo, kl: {estimator: ⟦k4⟧}}\n" + SAMPLED),
    ("E103", "objective: {preset: ppo}\n" + REST.replace("pairwise", "⟦pairwise⟧")),
    ("E003", DPO + HELD + "train: {metric_for_best_model: ⟦rewards/margin⟧}\n"),
    ("E003", DPO + HELD + "train: {metric_for_best_model: ⟦eval_bleu⟧}\n"),
    ("E006", DPO + REST + "train: {metric_for_best_model: ⟦loss⟧}\n"),
    ("E006", DPO + HELD + "train: {eval_steps: 5, early_stopping_patience: ⟦2⟧}\n"),
    ("E006", DPO + HELD + "train: {metric_for_best_model: loss, early_stopping_patience: ⟦2⟧}\n"),
    (
        "E006",
        DPO + "model: {policy: x/y, reference: {kind: ⟦adapter_off⟧}}\ndata: {kind: pairwise, source: x/y}\n",
    ),
    ("E004", DPO + REST + "train: {max_steps: ⟦0⟧}\n"),
    ("E004", DPO + 'model: {policy: x/y}\ndata: {kind: pairwise, source: ⟦""⟧}\n'),
    ("E004", DPO + 'model: {policy: ⟦""⟧}\ndata: {kind: pairwise, source: x/y}\n'),
    ("E004", DPO + 'model: {policy: {run: ⟦""⟧}}\ndata: {kind: pairwise, source: x/y}\n'),
    ("E004", DPO + FRESH.format("gpt2, n_positions: 64") + "train: {max_length: ⟦65⟧}\n"),
    ("E004", DPO + FRESH.format("llama, hidden_size: 10, num_attention_heads: ⟦4⟧")),
    ("E004", DPO + FRESH.format("gpt2, n_embd: 10, n_head: ⟦0⟧")),
    ("E004", DPO + FRESH.format("llama, num_attention_heads: 2, num_key_value_heads: ⟦4⟧")),
    ("E004", DPO + FRESH.format("llama, max_position_embeddings: 1023") + "train: {max_length: ⟦1024⟧}\n"),
]


@pytest.mark.parametrize(("code", "marked"), CASES, ids=[f"{c}-{i}" for i, (c, _) in enumerate(CASES)])
def test_finding(code: str, marked: str, tmp_path: Path) -> None:
    said = found(marked, tmp_path)
    assert [d.code for d in said] == [code]
    span = said[0].span
    assert (span.line, span.column, span.end_line, span.end_column) == place(marked)


SOUND = [
    "objective: {preset: ipo, reduce: mean}\n" + REST,
    "objective: {preset: dpo, label_smoothing: 0.49}\n" + REST,
    "objective: {preset: r_dpo, alpha: 0}\n" + REST,
    "objective: {preset: cpo}\n" + REST,
    "objective: {preset: simpo}\n" + REST,
    "objective: {preset: discopop}\n" + REST,
    "objective: {preset: apo_down}\n" + REST,
    "objective: {preset: sppo, hard: true}\n" + REST,
    "objective: {preset: simpo}\nmodel: {policy: x/y, reference: {kind: none}}\n"
    "data: {kind: pairwise, source: x/y}\n",
    PREF + "    score: {of: log_prob, reduce: mean, beta: 2}\n    link: squared\n"
    "    margin: {kind: constant, value: 1}\n" + REST,
    DPO + HELD + "train: {metric_for_best_model: eval_loss, eval_steps: 5, early_stopping_patience: 2}\n",
    DPO + HELD + "train: {metric_for_best_model: rewards/margins, max_steps: -1}\n",
    DPO + FRESH.format("gpt2, n_positions: 64") + "train: {max_length: 64, max_steps: 1}\n",
    DPO + FRESH.format("llama, hidden_size: 10, num_attention_heads: 4, head_dim: 4, num_key_value_heads: 2"),
    DPO + FRESH.format("gpt2, n_positions: 64"),  # the default gives way
    DPO + "model: {policy: x/y, adapter: {kind: lora}, reference: {kind: adapter_off}}\n"
    "data: {kind: pairwise, source: x/y}\n",
]


def test_the_metric_that_was_probably_meant_is_named(tmp_path: Path) -> None:
    text = DPO + HELD + "train: {metric_for_best_model: eval_rewards/margin}\n"
    assert [d.help for d in found(text, tmp_path)] == ["did you mean `rewards/margins`?"]


@pytest.mark.parametrize("text", SOUND)
def test_nothing_is_found_in_a_sound_spec(text: str, tmp_path: Path) -> None:
    assert found(text, tmp_path) == []


def test_a_warning_is_waived_by_a_comment_on_its_line(tmp_path: Path) -> None:
    text = "objective:\n  preset: r_dpo\n  alpha: -0.05  # alignc: ignore[W502] wordy on purpose\n" + REST
    assert found(text, tmp_path) == []


@pytest.mark.parametrize(
    ("formula", "column"),
    [
        ("().__class__", 1),
        ("z.real", 1),
        ("1 + z[0]", 5),
        ("(lambda: 1)()", 1),
        ("exp(z) + open('x')", 10),
        ("__import__('os').system('touch owned')", 1),
        ("[z for z in (1, 2)]", 1),
        ("z if z else 1", 1),
        ("z and 1", 1),
        ("1 + (z < 1)", 6),
        ("z + 'a'", 5),
        ("exp(x=z)", 1),
        ("z // 2", 1),
        ("z @ 2", 1),
        ("True", 1),
        ("(z := 1)", 2),
        ("f'{z}'", 1),
        ("2 * w", 5),
    ],
)
def test_a_formula_outside_the_whitelist(formula: str, column: int, tmp_path: Path) -> None:
    """E003 on the offending character, and nothing is run."""
    text = PREF + f'    link: "{formula}"\n' + REST
    said = found(text, tmp_path)
    assert [d.code for d in said] == ["E003"]
    assert (said[0].span.line, said[0].span.column) == (5, len('    link: "') + column)
    assert list(tmp_path.iterdir()) == [tmp_path / "spec.yaml"]


@pytest.mark.parametrize(
    "formula",
    [
        "z" + "+z" * 300,
        "exp(" * 60 + "z" + ")" * 60,
        "-" * 120 + "z",
        "9**9**9**9",
        "z**1000000",
        "z**-1.5",
        "z +",
    ],
)
def test_a_formula_too_large_or_broken_is_refused(formula: str, tmp_path: Path) -> None:
    said = found(PREF + f"    link: {{kind: formula, formula: '{formula}'}}\n" + REST, tmp_path)
    assert said
    assert said[0].code in ("E003", "E004")


def test_words_of_a_misspelt_form(tmp_path: Path) -> None:
    """A form is named in words, a parameter's new place is told, and a password is not repeated."""
    function = SAMPLED.replace("kind: http, url: 'http://h/r'", "kind: function, name: judges")
    (form,) = found(DPO + function, tmp_path)
    assert form.message == "`name` must be `module:function`, found 'judges'"
    (secret,) = found(DPO + SAMPLED.replace("http://h", "http://me:secret@h"), tmp_path)
    assert "secret" not in secret.message
    (strength,) = found("objective: {preset: rloo, beta: 0.1}\n" + SAMPLED, tmp_path)
    assert strength.help == "use `objective.kl.beta`"
    (empty,) = found("objective: {terms: []}\n" + SAMPLED, tmp_path)
    assert empty.message == "`terms` must not be empty"
