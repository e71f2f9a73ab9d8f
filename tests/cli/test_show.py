"""explain, describe, presets, rule, schema, compile."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from .conftest import SPEC, Alignc

POINT = {
    "examples": [
        {
            "chosen": {"logp": -10, "ref_logp": -12, "length": 4},
            "rejected": {"logp": -9, "ref_logp": -8, "length": 3},
        }
    ]
}


def test_explain_names_every_value_and_its_origin(alignc: Alignc, here: Path) -> None:
    done = alignc("explain", "spec.yaml")
    assert (done.code, done.err) == (0, "")
    assert "L = −E[log σ(β·(u_w − u_l))]" in done.out
    beta = next(line for line in done.out.splitlines() if "β = 0.1" in line)
    assert beta.endswith("spec.yaml:2:32")
    assert "ε = 0" in done.out
    assert "preset:dpo" in done.out
    assert max(map(len, done.out.splitlines())) <= 110


def test_explain_takes_origins_from_overrides(alignc: Alignc, here: Path) -> None:
    shown = alignc("explain", "spec.yaml", "--set", "objective.beta=0.25").out
    beta = next(line for line in shown.splitlines() if "β = 0.25" in line)
    assert beta.endswith("--set")


def test_explain_as_json_and_latex(alignc: Alignc, here: Path) -> None:
    data = json.loads(alignc("explain", "spec.yaml", "--format", "json").out)
    assert data["formula"] == "L = −E[log σ(β·(u_w − u_l))]"
    assert dict(data["step0"])["loss"] == pytest.approx(math.log(2), abs=1e-15)
    latex = alignc("explain", "spec.yaml", "--format", "latex").out
    assert latex.startswith("% needs: \\usepackage{amsmath,amssymb}\n")
    assert "L = -\\mathbb{E}" in latex


def test_explain_at_a_point(alignc: Alignc, here: Path) -> None:
    Path("point.json").write_text(json.dumps(POINT))
    done = alignc("explain", "spec.yaml", "--at", "point.json")
    value = json.loads(done.out)
    z = 0.1 * ((-10 + 12) - (-9 + 8))  # β·(Δ_w − Δ_l) = 0.3
    assert value["loss"] == pytest.approx(math.log1p(math.exp(-z)), abs=1e-12)
    slope = 0.1 / (1 + math.exp(z))
    assert value["examples"][0]["gradient"]["chosen"]["logp"] == pytest.approx(-slope, abs=1e-12)
    assert value["examples"][0]["gradient"]["rejected"]["logp"] == pytest.approx(slope, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "code"),
    [("{", "E001"), ('{"examples": [{"chosen": {"logp": 1}}]}', "E006"), ('{"exmaples": []}', "E00")],
)
def test_explain_at_a_point_that_is_wrong(alignc: Alignc, here: Path, text: str, code: str) -> None:
    Path("point.json").write_text(text)
    done = alignc("explain", "spec.yaml", "--at", "point.json")
    assert (done.code, done.out) == (1, "")
    assert f"error[{code}" in done.err


@pytest.mark.parametrize(
    ("chosen", "code", "words"),
    [
        ({"logp": 0.5, "ref_logp": -12}, "E004", "at most 0, found 0.5 at `examples[0].chosen.logp`"),
        ({"logp": [-1, 2], "ref_logp": [-1, -1]}, "E004", "found 2 at `examples[0].chosen.logp[1]`"),
        ({"logp": -10, "ref_logp": 1}, "E004", "found 1 at `examples[0].chosen.ref_logp`"),
        ({"logp": [-1, -2], "ref_logp": [-1, -1], "length": 3}, "E003", "`length` is 3, but `logp` has 2"),
        ({"logp": [-1, -2], "ref_logp": [-1]}, "E003", "`ref_logp` has 1 numbers, but `logp` has 2"),
    ],
)
def test_explain_at_what_no_response_has(
    alignc: Alignc, here: Path, chosen: dict[str, Any], code: str, words: str
) -> None:
    rejected = {"logp": [-9, -1], "ref_logp": [-8, -1], "length": 2}
    Path("point.json").write_text(json.dumps({"examples": [{"chosen": chosen, "rejected": rejected}]}))
    done = alignc("explain", "spec.yaml", "--at", "point.json")
    assert (done.code, done.out) == (1, "")
    assert f"error[{code}" in done.err
    assert words in done.err


def test_a_point_or_an_override_that_is_no_text_of_its_kind_is_not_told_of_yaml(
    alignc: Alignc, here: Path
) -> None:
    Path("point.json").write_text("{")
    at_point = alignc("explain", "spec.yaml", "--at", "point.json").err
    assert ("write one JSON object" in at_point, "YAML" in at_point) == (True, False)
    override = alignc("explain", "spec.yaml", "--set", "train.seed").err
    assert ("write --set train.learning_rate=1e-6" in override, "YAML" in override) == (True, False)


def test_explain_at_no_file(alignc: Alignc, here: Path) -> None:
    assert "error[E008]" in alignc("explain", "spec.yaml", "--at", "none.json").err


def test_explain_goes_on_without_the_data(alignc: Alignc, here: Path) -> None:
    Path("pairs.jsonl").unlink()
    done = alignc("explain", "spec.yaml")
    assert done.code == 0
    assert "pairs.jsonl" in done.err


def test_describe(alignc: Alignc, here: Path) -> None:
    shown = alignc("describe", "objective.dpo.beta").out
    assert shown.startswith("objective.dpo.beta: Strength of the pull to the reference")
    for row in ("default  0.1", "range    above 0", "unit     1/nat", "symbol   β"):
        assert row in shown
    assert (
        "type     {lora}" in alignc("describe", "model.adapter").out
        or "lora" in alignc("describe", "model").out
    )
    assert "objective" in alignc("describe").out
    inside = alignc("describe", "objective.kl.beta").out
    assert inside.startswith("objective.kl.beta: Strength of the pull to the reference")
    assert alignc("describe", "objective.ppo.kl.beta").out == inside.replace(".kl", ".ppo.kl")
    assert "mapping from a name to {pairwise}" in alignc("describe", "data.sources").out


def test_describe_of_a_misspelt_field(alignc: Alignc, here: Path) -> None:
    done = alignc("describe", "train.learning_rat")
    assert (done.code, done.out) == (2, "")
    assert "did you mean `train.learning_rate`?" in done.err
    assert "did you mean `data.reward`?" in alignc("describe", "reward").err
    assert alignc("describe", "objective.kl.bta").code == 2


def test_presets(alignc: Alignc, here: Path) -> None:
    names = alignc("presets", "--names").out.split()
    assert {"sft", "dpo"} <= set(names)
    assert names == sorted(names)
    assert "normalized true" in alignc("presets").out
    assert "terms:" in alignc("presets", "dpo").out
    done = alignc("presets", "dpoo")
    assert (done.code, "error[E007]" in done.err) == (1, True)


def test_rule(alignc: Alignc, here: Path) -> None:
    assert alignc("rule", "e002").out.startswith("E002: an unknown field\n")
    done = alignc("rule", "E0002")
    assert (done.code, "did you mean `E002`?" in done.err) == (2, True)


def test_schema_is_the_committed_one(alignc: Alignc, here: Path) -> None:
    committed = Path(__file__).parents[2] / "schemas" / "job.schema.json"
    assert json.loads(alignc("schema").out) == json.loads(committed.read_text("utf-8"))


def test_compile_writes_the_job(alignc: Alignc, here: Path) -> None:
    assert alignc("compile", "spec.yaml", "-o", "job").code == 0
    first = {p.name: p.read_bytes() for p in Path("job").iterdir()}
    assert {
        "train.py",
        "loss.py",
        "job.json",
        "accelerate.yaml",
        "deepspeed.json",
        "launch.sh",
    } <= first.keys()
    assert alignc("compile", "spec.yaml", "-o", "again").code == 0
    assert {p.name: p.read_bytes() for p in Path("again").iterdir()} == first


def test_an_internal_error_is_one_line(alignc: Alignc, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALIGNC_TRACEBACK", raising=False)
    monkeypatch.setattr("alignc.cli.explain.show", lambda _: 1 / 0)
    done = alignc("explain", "spec.yaml")
    assert done.code == 2
    assert "internal error, please report it: ZeroDivisionError" in done.err
    assert "Traceback" not in done.err


def test_a_folder_that_cannot_be_made_is_no_bug(alignc: Alignc, here: Path) -> None:
    done = alignc("compile", "spec.yaml", "-o", "spec.yaml/job")
    assert (done.code, "error[E608]: Not a directory\n  --> spec.yaml/job" in done.err) == (3, True)
    assert "internal error" not in done.err


def test_the_help_lists_the_commands(alignc: Alignc, here: Path) -> None:
    shown = alignc("--help").out
    assert all(f"  {name} " in shown for name in ("validate", "explain", "run", "init", "data"))
    assert SPEC.startswith("version")
