"""A reference that moves: what terms call the reference is then the moving one, in loss, plan and explanation."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from alignc.api import diff, evaluate, explain, validate, verify
from alignc.explain.show import show
from alignc.load.load import load
from alignc.lower.lower import lower
from alignc.plan import needs, roles
from alignc.spec.anchors import other_models

PROMPTS = (
    "data: {kind: prompts, source: x/y, completions_per_prompt: 2, reward: {kind: http, url: 'http://h/r'}}\n"
)


def spec(folder: Path, objective: str, reference: str = "", data: str = PROMPTS) -> Path:
    file = folder / "spec.yaml"
    more = f", reference: {{{reference}}}" if reference else ""
    file.write_text(f"objective: {objective}\nmodel: {{policy: x/y{more}}}\n{data}", "utf-8")
    return file


@pytest.mark.parametrize("kind", ["ema", "previous_iterate"])
@pytest.mark.parametrize(
    "objective",
    [
        "{preset: grpo, kl: {estimator: k2}}",
        "{preset: online_dpo}",
        "{preset: copg}",
        "{terms: [{name: p, kind: policy_gradient}, {name: pull, kind: kl, on: completions}]}",
    ],
)
def test_a_reference_that_moves_is_the_terms_anchor(objective: str, kind: str, tmp_path: Path) -> None:
    anchors = set(lower(load(spec(tmp_path, objective, f"kind: {kind}")).lookup).models) - {
        "policy",
        "rollout",
    }
    assert anchors == {kind}


def test_one_that_stands_still_leaves_the_anchors_alone(tmp_path: Path) -> None:
    loss = lower(load(spec(tmp_path, "{preset: rloo}", "kind: path, path: x/z")).lookup)
    assert "initial" in loss.models


def test_the_average_is_said_to_be_the_reference(tmp_path: Path) -> None:
    for file in (
        spec(tmp_path, "{preset: rloo}", "kind: ema, decay: 0.9"),
        spec(tmp_path, "{preset: rloo, kl: {anchor: ema}}"),
    ):
        loaded = load(file)
        lowered = lower(loaded.lookup)
        held = roles(needs(lowered, loaded.job), lowered, loaded.job)
        weights = {role.role: role.weights for role in held}
        assert weights["reference"] == "the moving average of the policy's weights"


def test_a_kl_term_on_own_samples_is_explained_and_verified_as_such(tmp_path: Path) -> None:
    """k2 on own samples has the gradient of KL(π‖ref); on given rows it rests at the reference alone."""
    file = spec(tmp_path, "{terms: [{name: pull, kind: kl, on: completions, estimator: k2}]}")
    assert "pull: k2 in the loss descends KL(π‖ref)" in show(explain(file))
    claims = [c for c in verify(file).claims if c.about.startswith("pull:")]
    assert [c.about for c in claims] == ["pull: k2, own samples"]
    assert all(c.holds for c in claims)


def test_values_are_those_in_force(tmp_path: Path) -> None:
    """A parameter that is a field's default gives way to the field, and is not told where the field is not."""
    play = "data: {kind: self_play, source: x/y, iterations: 1, oracle: {kind: http, url: 'http://h/r'}}\n"
    said = {g.field: (g.value, g.origin) for g in explain(spec(tmp_path, "{preset: sppo}", data=play)).values}
    assert said["iterations"] == (1, f"{tmp_path}/spec.yaml:3:50")
    assert said["completions_per_prompt"] == (5, "preset:sppo")
    given = explain(spec(tmp_path, "{preset: sppo}", data="data: {kind: scored, source: x/y}\n")).values
    assert "iterations" not in {g.field for g in given}


PAIRS = "data: {kind: pairwise, source: x/y}\n"
OWN = "{terms: [{name: a, kind: preference}, {name: b, kind: preference, score: {beta: 2, anchor: ./m}}, " \
    "{name: c, kind: kl, anchor: org/m}, {name: d, kind: kl, anchor: ./m}]}"  # fmt: skip


def test_a_term_may_have_a_model_of_its_own_as_its_anchor(tmp_path: Path) -> None:
    """`other`, `other2`, … in the order of the terms; the same model has one name. At a point, by hand."""
    (tmp_path / "m").mkdir()
    file = spec(tmp_path, OWN, data=PAIRS)
    loaded = load(file)
    loss = lower(loaded.lookup)
    assert other_models(loaded.job) == {str(tmp_path / "m"): "other", "org/m": "other2"}
    assert loss.models == ("policy", "initial", "other", "other2")
    wanted = needs(loss, loaded.job)
    assert wanted.others == {"other": str(tmp_path / "m"), "other2": "org/m"}
    assert [r.weights for r in roles(wanted, loss, loaded.job) if r.role == "other2"] == ["org/m, frozen"]
    assert "loss" not in wanted.step0  # nothing is known of another model before the first step
    assert wanted.step0["rewards/margins"] == 0.0
    chosen = {"logp": -2.0, "ref_logp": -2.5, "other_logp": -1.0, "other2_logp": -3.0}
    rejected = {"logp": -4.0, "ref_logp": -3.5, "other_logp": -4.5, "other2_logp": -3.0}
    found = evaluate(file, {"examples": [{"chosen": chosen, "rejected": rejected}]})["loss"]
    to_ref, to_other = math.log1p(math.exp(-1.0)), math.log1p(math.exp(2 * 1.5))
    pulls = (1.0**2 / 2 + 1.0**2 / 2) / 2 + (1.0**2 / 2 + 0.5**2 / 2) / 2
    assert found == pytest.approx(to_ref + to_other + pulls)


def test_a_misspelt_anchor_is_no_path(tmp_path: Path) -> None:
    (said,) = validate(spec(tmp_path, OWN.replace("./m", "inital", 1), data=PAIRS)).diagnostics
    assert (said.code, said.help) == ("E003", "did you mean `initial`?")


def test_responses_in_the_making_have_one_reference(tmp_path: Path) -> None:
    objective = (
        "{terms: [{name: p, kind: policy_gradient}, {name: c, kind: kl, on: completions, anchor: org/m}]}"
    )
    (said,) = [d for d in validate(spec(tmp_path, objective)).diagnostics if d.severity == "error"]
    assert (said.code, said.help) == ("E004", "name the model in `model.reference: {kind: path, path: …}`")


def test_losses_to_different_anchors_differ(tmp_path: Path) -> None:
    term = "{terms: [{name: a, kind: preference, score: {anchor: org/m}}]}"
    files = []
    for name, objective in (("one", term), ("same", term), ("other", term.replace("org/m", "org/n"))):
        (tmp_path / name).mkdir()
        files.append(spec(tmp_path / name, objective, data=PAIRS))
    assert diff(files[0], files[1]).verdict == "equal"
    assert diff(files[0], files[2]).verdict == "different"
