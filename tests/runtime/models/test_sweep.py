"""The page of architectures is that of its data, in which nothing differs from plain transformers without a word."""

from __future__ import annotations

import json

import pytest

from .page import DATA, PAGE, page
from .small import NAMES
from .sweep import examined, silent

KNOWN = {"bloom: sampled otherwise"}


def test_the_page_is_fresh_and_nothing_differs_silently():
    data = json.loads(DATA.read_text("utf-8"))
    assert PAGE.read_text("utf-8") == page(data)
    assert {line for each in data["architectures"] for line in silent(each)} <= KNOWN


def test_a_difference_would_be_seen():
    found = {"name": "x", "dtype": "float64", "sampled": {"same": False}, "adapted": {}}
    assert len(silent(found | {"scored": {"off": 6e-6, "slopes": 0.0}})) == 2
    assert len(silent(found | {"scored": {"off": float("nan"), "slopes": 1.0}})) == 3


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_an_architecture_is_exact_or_refused(name: str):
    assert set(silent(examined(name))) <= KNOWN
