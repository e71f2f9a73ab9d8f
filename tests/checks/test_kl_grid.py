"""What checks says of every estimator × placement × granularity × sampling is what enumeration finds."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from alignc.api import validate
from alignc.theory.kinds import Placement
from alignc.theory.soundness import Sampling, kl_codes
from alignc.verify.objectives import TOY
from alignc.verify.observe import observed_codes

ESTIMATORS = ("k1", "k2", "k3", "abs", "2*u", "u+3*exp(-u)", "exp(u)", "u**4/4", "-u**2", "abs(u)+u**2/2")
GRID = tuple(
    itertools.product(
        ESTIMATORS, ("reward", "loss", "ratio"), ("token", "sequence"), ("policy", "weighted", "given")
    )
)
CORRECTIONS = {("loss", "given"): "none", ("loss", "weighted"): "importance", ("ratio", "weighted"): "ratio"}


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_checks_agrees_with_enumeration(estimator: str) -> None:
    said, seen = {}, {}
    for name, placement, granularity, sampling in GRID:
        if name == estimator and (placement, sampling) != ("ratio", "given"):  # a ratio is its own weight
            key = (placement, granularity, sampling)
            said[key] = kl_codes(estimator, placement, granularity, sampling)
            seen[key] = observed_codes(estimator, placement, granularity, sampling, TOY)
    assert said == seen
    assert len(said) == 16


@pytest.mark.parametrize("placement", ["reward", "loss"])
def test_the_whole_vocabulary_in_one_place_misses_a_part(placement: Placement) -> None:
    sampling: Sampling = "policy"
    assert kl_codes("full", placement, "token", sampling) == observed_codes(
        "full", placement, "token", sampling, TOY
    )


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3", "abs"])
@pytest.mark.parametrize("granularity", ["token", "sequence"])
@pytest.mark.parametrize(("place", "correction"), CORRECTIONS.items())
def test_specs_are_judged_as_enumeration_does(
    estimator: str, granularity: str, place: tuple[Placement, Sampling], correction: str, tmp_path: Path
) -> None:
    spec = tmp_path / "spec.yaml"
    axes = f"estimator: {estimator}, granularity: {granularity}, correction: {correction}"
    spec.write_text(
        "objective:\n  terms:\n    - {name: fit, kind: likelihood}\n"
        f"    - {{name: pull, kind: kl, {axes}}}\n"
        "model: {policy: x/y}\ndata: {kind: demonstrations, source: x/y}\n",
        "utf-8",
    )
    found = {d.code for d in validate(spec).diagnostics}
    assert found == set(observed_codes(estimator, place[0], granularity, place[1], TOY))
