"""What a document means: data and spans, by hand."""

import math

import pytest

from alignc.diagnostics import Span
from alignc.yaml.source import load_source, parse_source

SPEC = """\
# a comment
version: 1
objective: {preset: dpo, "beta": 1e-1}
data:
  kind: pairwise
  columns:
    prompt: 'the question'   # quoted
  sources:
    - a.jsonl
    - [b, c]
model:
"""


@pytest.fixture(scope="module")
def source():
    return parse_source(SPEC, "spec.yaml")


def test_data_is_plain(source):
    assert source.data == {
        "version": 1,
        "objective": {"preset": "dpo", "beta": 0.1},
        "data": {
            "kind": "pairwise",
            "columns": {"prompt": "the question"},
            "sources": ["a.jsonl", ["b", "c"]],
        },
        "model": None,
    }
    assert type(source.data) is dict
    assert type(source.data["data"]["sources"]) is list
    assert source.file == "spec.yaml"
    assert source.text == SPEC


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        ((), None, (2, 1, 11, 7)),
        (("version",), (2, 1, 2, 8), (2, 10, 2, 11)),
        (("objective",), (3, 1, 3, 10), (3, 12, 3, 39)),
        (("objective", "preset"), (3, 13, 3, 19), (3, 21, 3, 24)),
        (("objective", "beta"), (3, 26, 3, 32), (3, 34, 3, 38)),
        (("data",), (4, 1, 4, 5), (5, 3, 10, 13)),
        (("data", "columns", "prompt"), (7, 5, 7, 11), (7, 13, 7, 27)),
        (("data", "sources"), (8, 3, 8, 10), (9, 5, 10, 13)),
        (("data", "sources", 0), None, (9, 7, 9, 14)),
        (("data", "sources", 1), None, (10, 7, 10, 13)),
        (("data", "sources", 1, 1), None, (10, 11, 10, 12)),
        (("model",), (11, 1, 11, 6), (11, 7, 11, 7)),
    ],
)
def test_spans(source, path, key, value):
    found = source.spans[path]
    assert found.key == (Span("spec.yaml", *key) if key else None)
    assert found.value == Span("spec.yaml", *value)


def test_every_value_has_a_span_and_nothing_else_has(source):
    paths = {()}

    def walk(data, path):
        items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
        for name, value in items:
            paths.add((*path, name))
            walk(value, (*path, name))

    walk(source.data, ())
    assert set(source.spans) == paths


def test_a_missing_place_falls_back_to_what_is_around_it(source):
    assert source.value_span(("objective", "gamma")) == source.spans[("objective",)].value
    assert source.key_span(("objective", "gamma")) == source.spans[("objective",)].key
    assert source.key_span(("data", "sources", 1, "x")) == source.spans[("data", "sources")].key
    assert source.key_span(("nothing",)) == Span("spec.yaml", 1, 1, 1, 1)


def test_a_value_left_out_stands_after_its_colon():
    source = parse_source("a:\n\nb:   # c\n  \n'c' :\nd: {e: , f}\n? g\nh:\n", "s")
    assert source.data == {"a": None, "b": None, "c": None, "d": {"e": None, "f": None}, "g": None, "h": None}
    starts = {path[-1]: (span.value.line, span.value.column) for path, span in source.spans.items() if path}
    assert starts == {
        "a": (1, 3),
        "b": (3, 3),
        "c": (5, 6),
        "d": (6, 4),
        "e": (6, 7),
        "f": (6, 11),
        "g": (7, 4),
        "h": (8, 3),
    }


def test_columns_count_code_points():
    source = parse_source('"😀é": {𝛽: "ü"}\n', "s")
    assert source.spans[("😀é",)].key == Span("s", 1, 1, 1, 5)
    assert source.spans[("😀é", "𝛽")].key == Span("s", 1, 8, 1, 9)
    assert source.spans[("😀é", "𝛽")].value == Span("s", 1, 11, 1, 14)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_editors_count_them(end):
    source = parse_source(f"a: 1{end}{end}b: 2{end}", "s")
    assert source.data == {"a": 1, "b": 2}
    assert source.spans[("b",)].value == Span("s", 3, 4, 3, 5)


def test_other_separators_end_no_line():
    source = parse_source("a: 'x\u2028y'\nb: 2\n", "s")
    assert source.spans[("b",)].value == Span("s", 2, 4, 2, 5)


def test_a_block_of_text_ends_with_its_text():
    source = parse_source("a: |\n  one\n  two\n\n\n# not text\nb: >-\n  x\n  y\n", "s")
    assert source.data == {"a": "one\ntwo\n", "b": "x y"}
    assert source.spans[("a",)].value == Span("s", 1, 4, 3, 6)
    assert source.spans[("b",)].value == Span("s", 7, 4, 9, 4)


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "---\n", "--- # c\n...\n", "\ufeff"])
def test_an_empty_document_is_an_empty_mapping(text):
    source = parse_source(text, "s")
    assert source.data == {}
    assert source.key_span(("version",)) == Span("s", 1, 1, 1, 1)


def test_markers_of_one_document_are_allowed():
    assert parse_source("%YAML 1.2\n---\na: 1\n...\n", "s").data == {"a": 1}


def test_a_byte_order_mark_shifts_nothing(tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    source = load_source(path)
    assert source.data == {"a": 1}
    assert source.file == str(path)
    assert source.spans[("a",)].key == Span(str(path), 1, 1, 1, 2)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[(text, None) for text in ("", "~", "null", "Null", "NULL")],
        *[(text, True) for text in ("true", "True", "TRUE")],
        *[(text, False) for text in ("false", "False", "FALSE")],
        ("0", 0),
        ("-12", -12),
        ("+3", 3),
        ("017", 17),
        ("0o17", 15),
        ("0x1F", 31),
        (".1", 0.1),
        ("1.", 1.0),
        ("-.5", -0.5),
        ("1e-5", 1e-5),
        ("1E5", 1e5),
        ("5.0e-7", 5e-7),
        ("+1.5e+3", 1500.0),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("1e999", math.inf),
        ("9" * 40, int("9" * 40)),
        *[(text, text) for text in ("yes", "no", "on", "off", "y", "n", "Yes", "NO", "tRUE", "nULL")],
        *[
            (text, text)
            for text in ("12:30:00", "190:20:30", "1_000", "0b11", "-0x1F", "0o8", "0xG", "1e", ".")
        ],
        *[
            (text, text)
            for text in ("2001-12-14", "2001-12-14t21:59:43.10-05:00", "-", "+", "..", "e5", "inf")
        ],
        *[(text, text) for text in ("٣", "1 2", "nan", "1.2.3", "=", "a#b", "http://x")],
        ("'1'", "1"),
        ('"null"', "null"),
        ("'~'", "~"),
        ('""', ""),
        ('"\\u00e9\\t"', "é\t"),
        ("|\n  1\n", "1\n"),
    ],
)
def test_scalars_of_the_core_schema(text, value):
    if text in ("-",):
        text = f"'{text}'"
    found = parse_source(f"a: {text}\n", "s").data["a"]
    assert found == value
    assert type(found) is type(value)


def test_not_a_number_is_read():
    assert math.isnan(parse_source("a: .nan", "s").data["a"])


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "y", "n", "12:30", "1_000"])
def test_words_of_yaml_1_1_are_keys_like_others(word):
    assert parse_source(f"{word}: 1", "s").data == {word: 1}


def test_quoted_keys_may_be_any_text():
    assert parse_source("'1': a\n\"true\": b\n'<<': c\n'': d", "s").data == {
        "1": "a",
        "true": "b",
        "<<": "c",
        "": "d",
    }
