"""The texts of presets say nothing of a spec that an axis can change: values come from the spec, the rest is prose."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from alignc.api import Compiled
from alignc.claims import claims_of
from alignc.claims.kinds.spec import Prose, Stated
from alignc.contract.baselines import BASELINES
from alignc.load.preset import Note, Preset, built_in, preset_names
from alignc.spec.aggregations import AGGREGATIONS
from alignc.spec.kl import ESTIMATORS

from ..online_variants import Online, compiled_online
from ..reference_policy import Method
from ..variants import Variant, compiled

PRESETS = sorted(preset_names())
SOURCES = re.compile(r"paper|TRL|verl|HALOs|librar|authors' code|et al\.|report on|equation")
"""Words of a sentence about a source, which may have the source's own numbers."""
NUMBER = re.compile(r"(?<![\w`′_])[−-]?\d|½|¼|10⁻")
REWARDED = {"reward": {"kind": "verifier", "name": "exact_number"}, "max_new_tokens": 8}
CHOICES = {*ESTIMATORS, *(a for a in AGGREGATIONS if "_" in a), *(n for n in BASELINES if "_" in n)}


def sentences(preset: Preset) -> Iterator[tuple[str, bool]]:
    """List the sentences of a preset, and whether each has a condition on the spec."""
    for note in (*preset.deviations, *preset.healthy.values(), preset.when):
        text = note.text if isinstance(note, Note) else note
        bound = isinstance(note, Note) and bool(note.applies or note.unless or "{" in note.text)
        yield from ((s, bound) for s in re.split(r"(?<=[.?!]) (?=[A-Z`])", text))


@pytest.mark.parametrize("name", PRESETS)
def test_prose_has_no_number_of_the_spec(name: str) -> None:
    for sentence, bound in sentences(built_in(name)):
        if not bound and not SOURCES.search(sentence):
            assert not NUMBER.search(re.sub(r"`[^`]*`", "", sentence)), sentence


@pytest.mark.parametrize("name", PRESETS)
def test_prose_names_no_choice_of_an_axis(name: str) -> None:
    for sentence, bound in sentences(built_in(name)):
        words = set(re.findall(r"[a-z_0-9]+", re.sub(r"`[^`]*`", "", sentence)))
        assert bound or not words & CHOICES, sentence


def test_a_number_in_prose_is_found() -> None:
    for text in ("rises to 1/(2τ)", "here 8 of them", "stays below 0.5", "it is 1e-4"):
        assert NUMBER.search(text)
    assert not NUMBER.search("rises and levels off")


def made_of(objective: dict[str, Any], data: dict[str, Any]) -> Compiled:
    return compiled_online(Online("", objective, Method(), data={**REWARDED, **data}))


def lines(made: Compiled) -> list[str]:
    return [
        c.template if isinstance(c, Stated) else c.text
        for c in claims_of(made)
        if isinstance(c, Stated | Prose)
    ]


def test_sentences_follow_the_spec() -> None:
    """Minibatches of GSPO, the samples and the deviation of GRPO, the KL of PPO."""
    said = {
        key: " ".join(
            compiled_online(Online("", objective, Method(), data={**REWARDED, **data})).explanation.said_all()
        )
        for key, objective, data in (
            ("gspo", {"preset": "gspo"}, {}),
            ("sampled", {"preset": "grpo", "kl": None}, {"completions_per_prompt": 64}),
            ("no std", {"preset": "grpo", "kl": None, "terms": {"policy": {"baseline": {"std": False}}}}, {}),
            ("no kl", {"preset": "ppo", "kl": None}, {}),
            ("ppo", {"preset": "ppo"}, {}),
        )
    }
    assert "The paper uses four minibatches per rollout; this spec uses 1." in said["gspo"]
    assert "The paper samples 64" not in said["sampled"]
    assert "deviation of the group" not in said["no std"]
    assert "The KL is k1" not in said["no kl"]
    assert "The KL is k1" in said["ppo"]


def test_a_mean_over_other_tokens_is_said_where_it_is_one() -> None:
    sft = compiled(Variant("sft", "demonstrations"))
    assert any("mean is over all completion tokens" in line for line in lines(sft))
