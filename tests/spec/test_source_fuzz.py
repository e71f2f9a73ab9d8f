"""Whatever the text, a Source or a DiagnosticError comes out, its spans inside the text."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from alignc.diagnostics import DiagnosticError, render
from alignc.diagnostics.comments import comments
from alignc.diagnostics.lines import split_lines
from alignc.yaml.source import Source, load_source, parse_source

SPEC = """\
# yaml-language-server: $schema=../schemas/job.schema.json
version: 1
name: dpo-arithmetic
objective: {preset: dpo, beta: 0.1, terms: [{name: "p", weight: 1e-3}]}
model:
  policy: Qwen/Qwen2.5-0.5B-Instruct
  reference: {kind: 'initial'}
data:
  kind: pairwise
  source: data/pairs.jsonl   # alignc: ignore[W206] fine
  columns:
  - prompt
  - "größer \\u00e9"
note: |
  two
  lines
more: >-
  folded
   text
output_dir: runs/x
"""
TOKENS = [
    "a",
    "b: ",
    "- ",
    "? ",
    ": ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "\n",
    "\n  ",
    " ",
    "\t",
    "#",
    "&a ",
    "*a ",
    "!t ",
]
TOKENS += [
    "'",
    '"',
    "|",
    ">",
    "|+2\n",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "<<: ",
    "~",
    "1",
    ".inf",
    "\\",
    "\\u12",
    "@",
]
TOKENS += [
    "`",
    "é",
    "😀",
    "\r",
    "\r\n",
    "\x85",
    "\u2028",
    "\ufeff",
    "\x00",
    "\x1b",
    "\ud800",
    "0x",
    "9" * 50,
    '\\UFFFFFFFF"',
]


def check(load):
    try:
        source = load()
    except DiagnosticError as error:
        return error.diagnostics
    assert isinstance(source, Source)
    inside(source.text, [span for node in source.spans.values() for span in (node.key, node.value) if span])
    return ()


def inside(text, spans):
    lines = split_lines(text)
    for span in spans:
        assert 1 <= span.line <= span.end_line <= len(lines)
        assert 1 <= span.column <= len(lines[span.line - 1]) + 1
        assert (span.line, span.column) <= (span.end_line, span.end_column)


def check_text(text):
    findings = check(lambda: parse_source(text, "s"))
    assert all(found.code in ("E001", "E004", "E005") and found.help for found in findings)
    inside(text.removeprefix("\ufeff"), [found.span for found in findings])
    assert len(list(comments(text))) <= len(split_lines(text))
    if findings:
        shown = render(findings, sources={"s": text})
        assert shown.count("error[") >= len(findings)
        assert not set("\x1b\x00\x85\u2028") & set(shown)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.text(max_size=60))
def test_any_text(text):
    check_text(text)


@settings(max_examples=1000, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(TOKENS), max_size=25).map("".join))
def test_any_sequence_of_yaml_pieces(text):
    check_text(text)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(TOKENS), max_size=4).map("".join), st.integers(0, len(SPEC)))
def test_pieces_inside_a_spec(piece, at):
    check_text(SPEC[:at] + piece + SPEC[at:])


def test_mutated_bytes(tmp_path):
    random_ = random.Random(20_260)
    path = tmp_path / "spec.yaml"
    refused = 0
    for _ in range(1200):
        path.write_bytes(mutated(SPEC.encode(), random_))
        refused += bool(check(lambda: load_source(path)))
    assert 400 < refused < 1200


def mutated(data, random_):
    for _ in range(random_.randint(1, 4)):
        start = random_.randrange(len(data) + 1)
        end = min(len(data), start + random_.choice([0, 0, 1, 1, 2, 30]))
        put = random_.choice(
            [b"", random_.randbytes(1), random_.choice(TOKENS).encode("utf-8", "surrogatepass")]
        )
        data = data[:start] + put + data[end:]
    return data
