"""A preset as one term among others: the same as writing its terms out, its parameters checked as its own are."""

from __future__ import annotations

from pathlib import Path

import pytest

from alignc.api import lowered
from alignc.diagnostics import DiagnosticError
from alignc.load.load import load
from alignc.point.evaluate import at_point

PAIR = {
    "examples": [
        {
            "chosen": {"logp": -11.0, "ref_logp": -12.5, "length": 7},
            "rejected": {"logp": -9.0, "ref_logp": -8.0, "length": 4},
        }
    ]
}
PRESET = """\
preset: both
title: Both
summary: Imitates, and prefers.
data: [pairwise]
parameters: {beta: {default: 0.1, gt: 0, symbol: β, unit: 1/nat}, share: {default: 0.5}}
terms:
  - {name: nll, kind: likelihood, on: chosen}
  - {preset: dpo, beta: =beta, weight: =2*share}
"""


def spec(folder: Path, objective: str) -> Path:
    path = folder / "spec.yaml"
    rest = "model: {policy: {init: llama, tokenizer: bytes}}\ndata: {kind: pairwise, source: a/b}\n"
    path.write_text(f"objective: {objective}\n{rest}", "utf-8")
    return path


def value(folder: Path, objective: str) -> float:
    return float(at_point(lowered(spec(folder, objective), files=False).loss, PAIR)["loss"])


def found(folder: Path, objective: str) -> list[tuple[str, int]]:
    with pytest.raises(DiagnosticError) as refused:
        load(spec(folder, objective))
    return [(d.code, d.span.column) for d in refused.value.diagnostics]


@pytest.mark.parametrize("form", ["[{}, {}]", "{{one: {}, two: {}}}"])
def test_the_loss_is_the_weighted_sum(tmp_path: Path, form: str) -> None:
    parts = "{preset: dpo, beta: 0.3}", "{preset: slic, sft_weight: 0.7, weight: 0.2}"
    one, other = (
        value(tmp_path, "{preset: dpo, beta: 0.3}"),
        value(tmp_path, "{preset: slic, sft_weight: 0.7}"),
    )
    assert value(tmp_path, f"{{terms: {form.format(*parts)}}}") == pytest.approx(one + 0.2 * other, abs=1e-12)


def test_beside_a_preset(tmp_path: Path) -> None:
    whole = value(tmp_path, "{preset: dpo, beta: 0.3, terms: {extra: {preset: cpo, weight: 3}}}")
    apart = value(tmp_path, "{preset: dpo, beta: 0.3}") + 3 * value(tmp_path, "{preset: cpo}")
    assert whole == pytest.approx(apart, abs=1e-12)


def test_names_are_unique_and_symbols_numbered(tmp_path: Path) -> None:
    imitate = "{preset: sft, name: imitate, terms: {nll: {on: chosen}}}"
    terms = f"[{{preset: dpo, beta: 0.3}}, {{preset: dpo}}, {{preset: slic, name: s}}, {imitate}]"
    compiled = lowered(spec(tmp_path, f"{{terms: {terms}}}"), files=False)
    names = [term.name for term in compiled.spec.job.objective.terms]
    assert names == ["pref", "pref_2", "s_pref", "s_nll", "imitate"]
    assert {"β", "β_2"} <= {p.symbol for p in compiled.loss.parameters}
    where = {v.field: v.origin.rpartition("spec.yaml")[2] for v in compiled.explanation.values}
    assert where["dpo.beta"] == ":1:41"
    assert where["dpo_2.beta"] == "preset:dpo"


def test_a_file_may_name_presets(tmp_path: Path) -> None:
    (tmp_path / "both.yaml").write_text(PRESET, "utf-8")
    nll = "{terms: [{name: nll, kind: likelihood, on: chosen}]}"
    apart = value(tmp_path, nll) + 0.8 * value(tmp_path, "{preset: dpo, beta: 0.7}")
    assert value(tmp_path, "{preset: both.yaml, beta: 0.7, share: 0.4}") == pytest.approx(apart, abs=1e-12)
    half = value(tmp_path, "{terms: [{preset: both.yaml, beta: 0.7, share: 0.4, weight: 0.5}]}")
    assert half == pytest.approx(apart / 2, abs=1e-12)


def test_its_terms_are_changed_by_name(tmp_path: Path) -> None:
    (tmp_path / "both.yaml").write_text(PRESET, "utf-8")
    for objective in (
        "{preset: both.yaml, terms: {pref: {link: {kind: squared}}}}",
        "{terms: [{preset: both.yaml, terms: {pref: {link: {kind: squared}}}}]}",
        "{terms: {a: {preset: both.yaml, terms: {pref: {link: {kind: squared}}}}}}",
    ):
        terms = load(spec(tmp_path, objective)).job.objective.terms
        assert [t.link.kind for t in terms if t.kind == "preference"] == ["squared"]


def test_a_circle_is_refused(tmp_path: Path) -> None:
    text = PRESET.replace("{preset: dpo, beta: =beta", "{preset: other.yaml")
    (tmp_path / "both.yaml").write_text(text, "utf-8")
    (tmp_path / "other.yaml").write_text(text.replace("other.yaml", "both.yaml"), "utf-8")
    assert [code for code, _ in found(tmp_path, "{terms: [{preset: both.yaml}]}")] == ["E001"]


@pytest.mark.parametrize(
    ("term", "code", "column"),
    [
        ("{preset: dpo, betta: 0.1}", "E002", 35),
        ("{preset: dpo, weigth: 0.1}", "E002", 35),
        ("{preset: dpoo}", "E007", 30),
        ("{preset: dpo, beta: -1}", "E004", 41),
        ("{preset: dpo, beta: x}", "E003", 41),
        ("{preset: dpo, weight: x}", "E003", 43),
        ("{perset: dpo}", "E002", 22),
        ("{preset: no.yaml}", "E008", 30),
        ("{preset: dpo, terms: {preff: {weight: 2}}}", "E002", 43),
        ("{preset: dpo, terms: {pref: {link: {knid: hinge}}}}", "E002", 57),
    ],
)
def test_it_is_checked_as_an_objective_of_its_own(tmp_path: Path, term: str, code: str, column: int) -> None:
    assert found(tmp_path, f"{{terms: [{term}]}}") == [(code, column)]


def test_all_errors_are_told_at_once(tmp_path: Path) -> None:
    codes = [c for c, _ in found(tmp_path, "{terms: [{preset: dpoo}, {preset: dpo, betta: 1}]}")]
    assert codes == ["E007", "E002"]


def test_a_text_among_the_terms_is_a_diagnostic(tmp_path):
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "objective: {terms: [dpo, {preset: dpo}]}\nmodel: {policy: org/model}\n"
        "data: {kind: pairwise, source: org/pairs}\n",
        encoding="utf-8",
    )
    with pytest.raises(DiagnosticError) as found:
        load(spec)
    assert [d.code for d in found.value.diagnostics] == ["E003"]
