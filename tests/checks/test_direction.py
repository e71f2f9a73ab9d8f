"""The direction of the first step, for all rows: right, wrong, or undecided with its condition."""

from __future__ import annotations

from pathlib import Path

import pytest

from alignc.api import validate

PAIRS = "\nmodel: {policy: {init: llama, tokenizer: bytes}}\ndata: {kind: pairwise, source: x/y}\n"
MARKS = "\nmodel: {policy: {init: llama, tokenizer: bytes}}\ndata: {kind: pointwise, source: x/y}\n"


def codes(text: str, folder: Path) -> list[str]:
    (folder / "spec.yaml").write_text(text, "utf-8")
    return [d.code for d in validate(folder / "spec.yaml").diagnostics if d.code[1] in "45"]


RIGHT = {
    "a margin that is a column": "objective: {preset: ipo, terms: {pref: {margin: {kind: column}}}}" + PAIRS,
    "a regression of scores": "objective: {preset: simpo, terms: {pref: {link: {kind: squared}}}}" + PAIRS,
    "a formula that falls": "objective: {preset: simpo, terms: {pref: {link: softplus(-z)+exp(-z)}}}" + PAIRS,
    "a gap of rewards": "objective: {preset: dpo, terms: {pref: {margin: {kind: reward_gap}}}}" + PAIRS,
    "labels and a target": "objective: {preset: kto, terms: {mark: {target: {kind: constant, value: 0.3}}}}"
    + MARKS,
    "any length": "objective: {preset: simpo, terms: {nll: {kind: likelihood, on: chosen, weight: 5}}}"
    + PAIRS,
}
WRONG = {
    "the chosen response down": "objective: {preset: kto, terms: {mark: {on: chosen, direction: down}}}"
    + PAIRS,
    "a formula that rises": "objective: {preset: simpo, terms: {pref: {link: softplus(z)}}}" + PAIRS,
    "it rises, also with β": "objective: {preset: cpo, terms: {pref: {link: exp(z)}, nll: {weight: 0}}}"
    + PAIRS,
    "labels turned round": "objective: {preset: kto, terms: {mark: {weight: -1}}}" + MARKS,
    "a formula over labels": "objective: {preset: bco, terms: {mark: {link: softplus(z)}}}" + MARKS,
    "no policy in it": "objective: {preset: kto, terms: {mark: {link: z*0+1}}}" + MARKS,
}
SMOOTHED = "{kind: logistic, label_smoothing: 0.1}"
UNDECIDED = {
    "smoothed labels far from 0": f"objective: {{preset: simpo, terms: {{pref: {{link: {SMOOTHED}}}}}}}"
    + PAIRS,
    "a formula with a minimum": "objective: {preset: simpo, terms: {pref: {link: (z-1)**2}}}" + PAIRS,
    "a likelihood of the rejected one": "objective: {preset: dpo, beta: 1, terms: {nll: {kind: likelihood, "
    "on: rejected, reduce: response_mean, weight: 0.9}}}" + PAIRS,
}


@pytest.mark.parametrize("text", RIGHT.values(), ids=RIGHT)
def test_right_for_all_rows(text: str, tmp_path: Path) -> None:
    assert codes(text, tmp_path) == []


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_wrong_for_all_rows(text: str, tmp_path: Path) -> None:
    assert "E501" in codes(text, tmp_path)


@pytest.mark.parametrize("text", UNDECIDED.values(), ids=UNDECIDED)
def test_undecided_with_its_condition(text: str, tmp_path: Path) -> None:
    assert codes(text, tmp_path) == ["W505"]
    [found] = [d for d in validate(tmp_path / "spec.yaml").diagnostics if d.code == "W505"]
    assert "only in rows where ∂L/∂log π = " in found.message


@pytest.mark.parametrize("data", [PAIRS, MARKS])
@pytest.mark.parametrize("link", ["robust", "logistic"])
def test_flipped_labels_of_single_responses(link: str, data: str, tmp_path: Path) -> None:
    changed = "objective: {{preset: bco, terms: {{mark: {{link: {{kind: {}, label_smoothing: {}}}}}}}}}"
    assert codes(changed.format(link, 0.7) + data, tmp_path) == ["E404"]
    assert codes(changed.format("logistic", 0.5) + data, tmp_path) == ["W405"]
