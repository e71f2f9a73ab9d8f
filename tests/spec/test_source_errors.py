"""What a document may not hold: each with its code, its place and its way out."""

import os

import pytest

from alignc.diagnostics import DiagnosticError, Span
from alignc.yaml.source import load_source, parse_source


def findings(text):
    with pytest.raises(DiagnosticError) as caught:
        parse_source(text, "s")
    return caught.value.diagnostics


def places(text):
    return [(found.code, found.span.line, found.span.column) for found in findings(text)]


def only(text):
    (found,) = findings(text)
    return found


@pytest.mark.parametrize(
    ("text", "span", "said", "helped"),
    [
        ("a: &x 1\n", (1, 4, 1, 6), "`&x` is an anchor", "extends"),
        ("a: &x [1]\n", (1, 4, 1, 6), "`&x` is an anchor", "extends"),
        ("&x a: 1\n", (1, 1, 1, 3), "`&x` is an anchor", "extends"),
        ("a: *x\n", (1, 4, 1, 6), "`*x` is an alias", "quotes"),
        ("a: [1, *x]\n", (1, 8, 1, 10), "`*x` is an alias", "quotes"),
        ("a: !!int 3\n", (1, 4, 1, 9), "`!!int` is a tag", "quotes"),
        ("a: ! 3\n", (1, 4, 1, 5), "`!` is a tag", "quotes"),
        ("a: !include b.yaml\n", (1, 4, 1, 12), "`!include` is a tag", "quotes"),
        ("a: !<tag:x> {b: 1}\n", (1, 4, 1, 12), "`!<tag:x>` is a tag", "quotes"),
        ("<<: {a: 1}\n", (1, 1, 1, 3), "`<<` merges", "extends"),
        ("1: a\n", (1, 1, 1, 2), "the key `1` is not text", '"1"'),
        ("a: {true: 1}\n", (1, 5, 1, 9), "the key `true` is not text", '"true"'),
        ("null: 1\n", (1, 1, 1, 5), "the key `null` is not text", '"null"'),
        (": 1\n", (1, 1, 1, 2), "a key is missing", "write the key"),
        ("? [a, b]\n: 1\n", (1, 3, 1, 4), "is used as a key", "quotes"),
        ("a: {{ x }}\n", (1, 5, 1, 6), "is used as a key", "quotes"),
        ("a: 1\n---\nb: 2\n", (2, 1, 2, 4), "second document", "---"),
        ("%YAML 1.1\n---\na: 1\n", (1, 1, 1, 2), "directive", "delete"),
        ("%TAG ! x\n---\na: 1\n", (1, 1, 1, 2), "directive", "delete"),
        ("- a\n- b\n", (1, 1, 1, 4), "not a mapping", "key: value"),
        ("just text\n", (1, 1, 1, 10), "not a mapping", "key: value"),
        ("~\n", (1, 1, 1, 2), "not a mapping", "key: value"),
        ("a:\n\tb: 1\n", (2, 1, 2, 2), "a tab", "spaces"),
        ("a: @x\n", (1, 4, 1, 5), "cannot start a value", "quotes"),
        ("a: `x`\n", (1, 4, 1, 5), "cannot start a value", "quotes"),
        ("a: 'x\nb: 1\n", (1, 4, 1, 5), "quote is not closed", "quote"),
        ("a: [1,\n 2\nb: 3\n", (1, 4, 1, 5), "`[` is not closed", "]"),
        ("a: {b: 1\n", (1, 4, 1, 5), "`{` is not closed", "}"),
        ('a: "\\q"\n', (1, 6, 1, 7), "escape", "single quotes"),
        ('a: "\\x4"\n', (1, 7, 1, 8), "escape", "single quotes"),
        ("a: b: c\n", (1, 5, 1, 6), "`:`", "quotes"),
        ("a: 1\nb\n", (2, 1, 2, 2), "not `key: value`", "`:`"),
        ("a:\n  b: 1\n c: 2\n", (3, 2, 3, 3), "does not fit", "indentation"),
        ("a: - b\n", (1, 4, 1, 5), "list item", "line"),
        ("a: *\n", (1, 4, 1, 5), "`*`", "quotes"),
        ("a: &\n", (1, 4, 1, 5), "`&`", "quotes"),
        ("a: [,]\n", (1, 5, 1, 6), "value is missing", "comma"),
        ("a: |x\n  y\n", (1, 5, 1, 6), "block of text", "`|`"),
        ("a: \x07b\n", (1, 4, 1, 5), "U+0007", "escape"),
        ("a: 1\nb: x\x00y\n", (2, 5, 2, 6), "U+0000", "escape"),
        ("a: \ud800\n", (1, 4, 1, 5), "U+D800", "escape"),
        ("a: x\ufeff\n", (1, 5, 1, 6), "byte order mark", "delete"),
    ],
)
def test_what_is_refused(text, span, said, helped):
    found = only(text)
    assert found.code == "E001"
    assert found.span == Span("s", *span)
    assert said in found.message
    assert helped in found.help


def test_a_code_point_beyond_unicode_is_an_error_like_others():
    assert only('a: "\\U11111111"\n').code == "E001"


def test_everything_is_reported_at_once():
    text = "a: &x 1\nb: *x\na: 2\n1: !t 3\nd: [!!str e, *f]\n"
    assert places(text) == [
        ("E001", 1, 4),
        ("E001", 2, 4),
        ("E005", 3, 1),
        ("E001", 4, 1),
        ("E001", 4, 4),
        ("E001", 5, 5),
        ("E001", 5, 14),
    ]


def test_findings_before_a_syntax_error_are_kept():
    assert places("a: 1\na: 2\nb: 'x\n") == [("E005", 2, 1), ("E001", 3, 4)]


def test_anchor_and_tag_on_one_value_are_two_findings():
    assert places("a: &x !y 1\n") == [("E001", 1, 4), ("E001", 1, 7)]
    assert places("a: !!y &x 1\n") == [("E001", 1, 4), ("E001", 1, 8)]
    assert places("a: !y\n  # between!\n  &x 1\n")[-1] == ("E001", 3, 3)


def test_duplicates_name_the_first():
    text = "beta: 1\nx:\n  beta: 1\n  'beta': 2\nbeta: {c: 1, c: 2}\nbeta: 3\n"
    found = findings(text)
    assert [(f.code, f.span, f.help.split(";")[0]) for f in found] == [
        ("E005", Span("s", 4, 3, 4, 9), "it is first set on line 3"),
        ("E005", Span("s", 5, 1, 5, 5), "it is first set on line 1"),
        ("E005", Span("s", 5, 14, 5, 15), "it is first set on line 5"),
        ("E005", Span("s", 6, 1, 6, 5), "it is first set on line 1"),
    ]
    assert found[0].message == "`beta` is set twice"


def test_huge_integers_are_out_of_range():
    found = only("a:\n  - " + "9" * 5000 + "\n")
    assert (found.code, found.span) == ("E004", Span("s", 2, 5, 2, 5005))
    assert "5000" in found.message
    assert only("a: 0x" + "F" * 39 + "\n").code == "E004"
    assert only("9" * 41 + ": 1\n").code == "E001"


def load_error(path):
    with pytest.raises(DiagnosticError) as caught:
        load_source(path)
    (found,) = caught.value.diagnostics
    return found


def test_a_missing_file(tmp_path):
    path = str(tmp_path / "none.yaml")
    found = load_error(path)
    assert (found.code, found.span) == ("E008", Span(path, 1, 1, 1, 1))
    assert path in found.message


def test_a_file_below_a_file_is_missing(tmp_path):
    (tmp_path / "a").write_text("")
    assert load_error(tmp_path / "a" / "b").code == "E008"


def test_a_folder_is_not_a_spec(tmp_path):
    found = load_error(tmp_path)
    assert found.code == "E008"
    assert "folder" in found.message


def test_names_that_cannot_be_files():
    assert load_error("a\0b").code == "E001"
    assert load_error("x" * 5000).code == "E001"


def test_a_file_without_permission(tmp_path, monkeypatch):
    path = tmp_path / "s.yaml"
    path.write_text("a: 1")
    path.chmod(0)
    if os.geteuid() == 0:  # root may read everything, so that the system's refusal is staged

        def refuse(*_):
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr("builtins.open", refuse)
    found = load_error(path)
    assert found.code == "E001"
    assert "Permission denied" in found.message


def test_bytes_that_are_not_utf8(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_bytes("a: é\nbé: ".encode() + b"\xff\n")
    found = load_error(path)
    assert (found.code, found.span) == ("E001", Span(str(path), 2, 5, 2, 6))
    assert "0xFF" in found.message


def test_utf16_is_named(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_bytes("a: 1\n".encode("utf-16"))
    assert "UTF-16" in load_error(path).message
