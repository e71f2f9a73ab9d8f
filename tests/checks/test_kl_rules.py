"""Every rule of KL estimators, targets and optima: a spec that earns it, at its place, and one that does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from alignc.api import validate

MODEL = "model: {policy: x/y}\n"
SCORED = MODEL + "data: {kind: scored, source: x/y}\n"
PAIRS = MODEL + "data: {kind: pairwise, source: x/y}\n"
POINTS = MODEL + "data: {kind: pointwise, source: x/y}\n"


def kl(*fields: str) -> str:
    head = "objective:\n  terms:\n    - name: fit\n      kind: likelihood\n    - name: pull\n      kind: kl\n"
    return (
        head + "".join(f"      {f}\n" for f in fields) + MODEL + "data: {kind: demonstrations, source: x/y}\n"
    )


def pref(*fields: str) -> str:
    head = "objective:\n  terms:\n    - name: pref\n      kind: preference\n"
    return head + "".join(f"      {f}\n" for f in fields)


def point(*fields: str) -> str:
    head = "objective:\n  terms:\n    - name: fit\n      kind: pointwise\n"
    return head + "".join(f"      {f}\n" for f in fields)


CASES = [
    ("E103", point("target: {kind: reward}", "direction: up") + MODEL
     + "data: {kind: ⟦demonstrations⟧, source: x/y}\n"),
    ("E104", "objective: {preset: sppo}\n" + MODEL
     + "data: {kind: ⟦pairwise⟧, source: x/y}\n"),
    ("E107", "objective: {preset: kto}\n" + POINTS
     + "train: {per_device_train_batch_size: ⟦1⟧, gradient_accumulation_steps: 1}\n"),
    ("E201", kl("estimator: ⟦k1⟧", "correction: importance")),
    ("E202", kl("estimator: ⟦k1⟧")),
    ("E202", kl("estimator: ⟦u**2/2+0.1*u⟧")),
    ("E203", kl("estimator: ⟦u**3⟧", "correction: importance")),
    ("E203", kl("estimator: ⟦-u**2⟧")),
    ("W206", kl("estimator: ⟦k3⟧", "correction: importance")),
    ("W206", kl("estimator: ⟦u+3*exp(-u)⟧", "correction: importance")),
    ("W207", kl("estimator: ⟦abs⟧", "correction: importance")),
    ("W208", kl("estimator: ⟦k2⟧", "correction: ratio")),
    ("W209", kl("estimator: k2", "correction: importance", "granularity: ⟦token⟧")),
    ("W209", kl("estimator: k3", "correction: ratio", "granularity: ⟦token⟧")),
    ("W212", kl("estimator: k2", "clamp: ⟦10⟧")),
    ("W214", kl("estimator: k3", "gradient: ⟦k2⟧")),
    ("E302", pref("link: ⟦-z⟧") + PAIRS),
    ("E302", "objective:\n  terms:\n    - {name: a, kind: likelihood}\n"
     "    - {name: b, kind: likelihood, weight: ⟦-0.1⟧}\n" + MODEL + "data: {kind: demonstrations, source: x/y}\n"),
    ("W306", point("target: ⟦{kind: reward}⟧", "link: squared") + POINTS),
    ("W406", "objective: {preset: simpo, gamma: 0}\n" + PAIRS),
    ("W407", pref("link: ⟦logistic⟧") + SCORED),
    ("W408", pref("score: {of: log_ratio, reduce: ⟦mean⟧}") + PAIRS),
    ("W409", "objective: {preset: f_dpo, divergence: ⟦forward_kl⟧}\n" + PAIRS),
    ("W410", "objective: {preset: robust_dpo, label_smoothing: ⟦0.2⟧}\n" + PAIRS),
    ("W504", "objective: {preset: dpo}\n" + PAIRS + "train: {learning_rate: ⟦1.0e-10⟧}\n"),
    ("W411", "objective: {preset: sppo, eta: ⟦1000⟧}\n" + POINTS + "train: {optim: sgd, max_grad_norm: 0}\n"),
]  # fmt: skip

SILENT = [
    ("E103", point("target: {kind: reward, baseline: value}", "link: squared") + POINTS),
    ("E104", "objective: {preset: sppo}\n" + POINTS),
    ("E107", "objective: {preset: kto}\n" + POINTS
     + "train: {per_device_train_batch_size: 1, gradient_accumulation_steps: 2}\n"),
    ("E201", kl("estimator: k1", "correction: ratio")),
    ("E202", kl("estimator: k3")),
    ("E203", kl("estimator: u**2/4", "correction: importance")),
    ("W206", kl("estimator: k2", "correction: importance")),
    ("W207", kl("estimator: abs", "correction: none")),
    ("W208", kl("estimator: k3", "correction: ratio")),
    ("W209", kl("estimator: k2", "correction: importance", "granularity: sequence")),
    ("W212", kl("estimator: exp(u)-u", "correction: importance")),
    ("W214", kl("estimator: k2", "gradient: k2")),
    ("E302", pref("link: softplus(-z)") + PAIRS),
    ("W306", "objective: {preset: dro}\n" + POINTS),
    ("W406", "objective: {preset: simpo}\n" + PAIRS),
    ("W407", "objective: {preset: dpo}\n" + PAIRS),
    ("W407", pref("link: {kind: logistic, label_smoothing: 0.1}") + SCORED),
    ("W408", "objective: {preset: ipo, reduce: mean}\n" + PAIRS),
    ("W409", "objective: {preset: f_dpo, divergence: js}\n" + PAIRS),
    ("W410", "objective: {preset: dpo, label_smoothing: 0.2}\n" + PAIRS),
    ("W504", "objective: {preset: dpo}\n" + PAIRS + "train: {learning_rate: 1.0e-8}\n"),
    ("W504", "objective: {preset: dpo}\n" + PAIRS + "train: {learning_rate: 1.0e-10, optim: sgd}\n"),
    ("W411", "objective: {preset: sppo, eta: 1000}\n" + POINTS),
]  # fmt: skip


def found(text: str, folder: Path) -> list[tuple[str, int, int]]:
    spec = folder / "spec.yaml"
    spec.write_text(text, "utf-8")
    return [(d.code, d.span.line, d.span.column) for d in validate(spec).diagnostics]


def place(marked: str) -> tuple[int, int] | None:
    before, mark, _ = marked.partition("⟦")
    return (before.count("\n") + 1, len(before) - before.rfind("\n")) if mark else None


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


def test_unsound_estimators_can_be_waived(tmp_path: Path) -> None:
    assert found(kl("estimator: k1  # alignc: ignore[E202] a demonstration"), tmp_path) == []


@pytest.mark.parametrize(
    ("estimator", "code", "words"),
    [
        ("full", "E004", "beside the policy"),
        ("v**2", "E003", "unknown name `v`"),
        ("u.real", "E003", "u.real"),
    ],
)
def test_what_is_no_estimator_is_refused(estimator: str, code: str, words: str, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(kl(f"estimator: {estimator}"), "utf-8")
    (said,) = validate(spec).diagnostics
    assert (said.code, said.span.line, said.span.column) == (code, 7, 18)
    assert words in said.message
