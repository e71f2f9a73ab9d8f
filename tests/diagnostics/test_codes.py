import json
import re

import pytest

from alignc.diagnostics import CODES, Diagnostic, DiagnosticError, Span
from alignc.diagnostics.codes import GROUPS, help_of, why_of
from alignc.yaml.source import parse_source

NUMBERS = {
    "E0": [1, 2, 3, 4, 5, 6, 7, 8],
    "W0": [9],
    "E1": [1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 15],
    "W1": [14],
    "E2": [1, 2, 3, 4, 5],
    "W2": [6, 7, 8, 9, 10, 11, 12, 13, 14],
    "E3": [1, 2, 5],
    "W3": [3, 4, 6, 7, 8, 9, 10, 11, 12, 13],
    "E4": [1, 2, 3, 4],
    "W4": [5, 6, 7, 8, 9, 10, 11],
    "E5": [1],
    "W5": [2, 3, 4, 5],
    "E6": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15, 16],
    "W6": [13],
    "E7": [1, 2, 3, 4, 5, 6, 7, 8, 9],
    "E8": [1, 2, 3, 4, 5, 6, 7, 8, 9],
}


def test_the_table_is_complete():
    assert set(CODES) == {f"{group}{number:02}" for group, numbers in NUMBERS.items() for number in numbers}
    assert all(key == code.code for key, code in CODES.items())


def test_every_group_has_a_title_and_every_title_a_group():
    assert set(GROUPS) == {code[1] for code in CODES}


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_every_text_is_there_and_reads_well(code):
    for text in (code.title, code.why, code.help):
        assert text == text.strip()
        assert not text.endswith(".")
        assert "  " not in text
        assert len(text) > 10
    assert len(code.title) < 80
    assert code.title not in (code.why, code.help)


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_examples_are_specs_or_rows(code):
    if code.code in ("E001", "E005"):
        with pytest.raises(DiagnosticError) as caught:
            parse_source(code.example, "s")
        assert {found.code for found in caught.value.diagnostics} == {code.code}
    elif code.code == "E703":
        with pytest.raises(ValueError, match="delimiter"):
            json.loads(code.example)
    elif code.example.startswith("{"):
        assert "prompt" in json.loads(code.example)
    else:
        sections = {"objective", "model", "data", "reward", "train", "launch", "output_dir", "extends"}
        assert set(parse_source(code.example, "s").data) <= sections


def test_what_may_be_waived():
    waivable = {code.code for code in CODES.values() if code.waivable}
    assert waivable == {code for code in CODES if re.match("W|E2|E3|E5", code)}


def test_titles_are_unique():
    assert len({code.title for code in CODES.values()}) == len(CODES)


def test_a_finding_without_words_takes_those_of_its_code():
    span = Span.at("s")
    assert why_of(Diagnostic("E201", "m", span)) == CODES["E201"].why
    assert help_of(Diagnostic("E201", "m", span)) == CODES["E201"].help
    assert why_of(Diagnostic("E201", "m", span, why="w")) == "w"
    assert help_of(Diagnostic("E201", "m", span, help="h")) == "h"
    assert why_of(Diagnostic("E999", "m", span)) is None
    assert help_of(Diagnostic("E999", "m", span)) is None
