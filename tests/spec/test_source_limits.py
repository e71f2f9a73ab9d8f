"""Size, depth and time: no document is slow, whatever it holds."""

import subprocess
import sys
import time

import pytest

from alignc.diagnostics import DiagnosticError, Span
from alignc.yaml.source import load_source, parse_source

MIB = 1 << 20
# Machines of a shared runner stall; the code takes a tenth of these, and what is quadratic far more.
BOMB_SECONDS = 3.0
SECONDS = 20.0


def seconds_to_refuse(text):
    start = time.process_time()
    with pytest.raises(DiagnosticError) as caught:
        parse_source(text, "s")
    return time.process_time() - start, caught.value.diagnostics


BOMBS = {
    "[": "[" * MIB,
    "{": "{" * MIB,
    "[ line": "[\n" * (MIB // 2),
    "{a: ": "{a: " * (MIB // 4),
    "- ": "- " * (MIB // 2),
    "? ": "? " * (MIB // 2),
    "- -": "- - -\n" * (MIB // 6),
    "value": "a: " + "[" * (MIB - 3),
    "block": "".join(" " * i + "a:\n" for i in range(1400)),
    "documents": "---\n" * (MIB // 4),
    "directives": "%A b\n" * (MIB // 5),
    "version": "%YAML 1.2\n" * (MIB // 10),
    "tag": "a: !" + "x" * (MIB - 4),
    "tags": "[" + "!" * (MIB - 1),
    "escaped tag": "a: !" + "%41" * (MIB // 3 - 4),
    "anchor": "a: &" + "x" * (MIB - 4),
    "anchors": "&a " * (MIB // 3),
    "merge": "a: &a {b: 1}\n" + "".join(f"x{i}: {{<<: *a}}\n" for i in range(9)),
    "laughs": "a: &a [x, x]\n" + "".join(f"b{i}: &b{i} [*a, *a, *a]\n" for i in range(20)),
    "duplicates": "a: 1\n" * (MIB // 5),
    "controls": "\x07" * MIB,
    "too large": "#" * (MIB + 1),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_at_once(name):
    took, found = seconds_to_refuse(BOMBS[name])
    assert {item.code for item in found} <= {"E001", "E005"}
    assert took < (SECONDS if name in ("anchor", "tag", "escaped tag", "tags") else BOMB_SECONDS)
    assert len(found) <= 110


SLOW = {
    "words": "a: " + "x " * (MIB // 2 - 2),
    "lines": "a:\n" + " x\n" * (MIB // 3 - 1),
    "escapes": 'a: "' + "\\n" * (MIB // 2 - 3) + '"',
    "quoted lines": 'a: "' + "\n" * (MIB - 5) + '"',
    "block": "a: |\n" + " x\n" * (MIB // 3 - 2),
    "comments": "#\n" * (MIB // 2),
    "blank": "\n" * MIB,
    "float": "a: ." + "9" * (MIB - 4),
    "keys": "".join(f"k{i}: v\n" for i in range(90_000)),
    "items": "a: [" + "1," * (MIB // 2 - 3) + "]",
    "flow words": "{" + "a " * (MIB // 2 - 1) + "}",
}


@pytest.mark.parametrize("name", SLOW)
def test_the_largest_documents_end_in_time(name):
    assert len(SLOW[name]) <= MIB
    start = time.process_time()
    try:
        parse_source(SLOW[name], "s")
    except DiagnosticError as error:
        assert {found.code for found in error.diagnostics} == {"E001"}  # noqa: PT017 (either end is right)
    assert time.process_time() - start < SECONDS


def nested(levels):
    return "a: " + "[" * (levels - 1) + "]" * (levels - 1)


def test_sixty_four_levels_are_read_and_no_more():
    data = parse_source(nested(64), "s").data["a"]
    depth = 1
    while data:
        data, depth = data[0], depth + 1
    assert depth + 1 == 64
    _, (found,) = seconds_to_refuse(nested(65))
    assert (found.code, found.span) == ("E001", Span("s", 1, 67, 1, 68))
    assert "64 levels" in found.message


def test_one_mebibyte_is_read_and_no_more(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_bytes(b"a: 1\n" + b"#" * (MIB - 5))
    assert load_source(path).data == {"a": 1}
    path.write_bytes(b"a: 1\n" + b"#" * (MIB - 4))
    with pytest.raises(DiagnosticError, match="larger than 1 MiB"):
        load_source(path)


def test_the_size_counts_bytes():
    with pytest.raises(DiagnosticError, match="larger than 1 MiB"):
        parse_source("#" + "é" * (MIB // 2), "s")


def test_ten_thousand_values_are_read_and_no_more():
    # One for the document, one for the key, one for the list.
    assert len(parse_source("a: [" + "1," * 9997 + "]", "s").data["a"]) == 9997
    with pytest.raises(DiagnosticError, match="10,000"):
        parse_source("a: [" + "1," * 9998 + "]", "s")


def test_a_hundred_thousand_words_are_read_and_no_more():
    # The key is a word, too.
    assert len(parse_source("a: " + "x " * 99_999, "s").data["a"]) == 199_997
    with pytest.raises(DiagnosticError, match="100,000 words"):
        parse_source("a: " + "x " * 100_000, "s")


FORBIDDEN = ("pydantic", "torch", "sympy", "rich", "ruamel", "jinja2", "click", "yaml")


@pytest.mark.parametrize("module", ["alignc.diagnostics.render", "alignc.diagnostics.document"])
def test_diagnostics_import_nothing_heavy(module):
    assert imported(f"import {module}") == set()


def test_parsing_imports_the_parser_and_nothing_else():
    code = "from alignc.yaml.source import parse_source; parse_source('a: 1', 's')"
    assert imported(code) == {"ruamel"}


def imported(code):
    report = f"import sys; {code}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    return set(FORBIDDEN) & set(done.stdout.split())
