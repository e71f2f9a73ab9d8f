import pytest

from alignc.diagnostics import did_you_mean
from alignc.diagnostics.suggest import edit_distance

FIELDS = [
    "beta",
    "label_smoothing",
    "preset",
    "kind",
    "learning_rate",
    "max_length",
    "weight",
    "tau",
    "terms",
]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("bta", "beta"),
        ("bata", "beta"),
        ("betaa", "beta"),
        ("Beta", "beta"),
        ("BETA", "beta"),
        ("perset", "preset"),
        ("knid", "kind"),
        ("label-smoothing", "label_smoothing"),
        ("labelSmoothing", "label_smoothing"),
        ("label_smothing", "label_smoothing"),
        ("learning rate", "learning_rate"),
        ("learningrate", "learning_rate"),
        ("learning_rates", "learning_rate"),
        ("max_len", "max_length"),
        ("wieght", "weight"),
        ("term", "terms"),
        ("gamma", None),
        ("lr", None),
        ("x", None),
        ("", None),
        ("completions", None),
        ("b" * 1000, None),
    ],
)
def test_the_word_that_was_meant(word, meant):
    assert did_you_mean(word, FIELDS) == meant


def test_of_several_the_nearest_and_of_equals_the_first():
    assert did_you_mean("grp", ["dpo", "grpo", "dr_grpo"]) == "grpo"
    assert did_you_mean("k4", ["k1", "k2"]) == "k1"
    assert did_you_mean("max-steps", ["max_step", "max_steps"]) == "max_steps"


def test_no_candidates():
    assert did_you_mean("a", []) is None


@pytest.mark.parametrize(
    ("left", "right", "edits"),
    [
        ("", "", 0),
        ("", "abc", 3),
        ("abc", "", 3),
        ("kitten", "sitting", 3),
        ("ab", "ba", 1),
        ("ca", "abc", 3),
        ("abcd", "acbd", 1),
    ],
)
def test_edits(left, right, edits):
    assert edit_distance(left, right) == edits
