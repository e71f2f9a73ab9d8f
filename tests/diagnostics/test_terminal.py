import re

import pytest

from alignc.diagnostics import Diagnostic, Span, render
from alignc.diagnostics.display import width

SPEC = """\
version: 1
name: grpo
objective:
  preset: grpo
  kl:
    placement: loss
    estimator: k1
"""
K1 = Diagnostic(
    "E201",
    "`k1` in the loss has zero expected gradient: it is noise, not a regularizer",
    Span("spec.yaml", 7, 16, 7, 18),
    "E_π[∇ log π/ref] = 0, so nothing pulls the policy back to the reference",
    "k2 in the loss has the gradient of KL(π‖ref); or place k1 in the reward",
)
SHOWN = """\
error[E201]: `k1` in the loss has zero expected gradient: it is noise, not a regularizer
  --> spec.yaml:7:16
   |
 7 |     estimator: k1
   |                ^^
   = why:  E_π[∇ log π/ref] = 0, so nothing pulls the policy back to the reference
   = help: k2 in the loss has the gradient of KL(π‖ref); or place k1 in the reward
"""


def marked(line, column, end_column, end_line=1):
    """Return the printed line and caret line."""
    found = Diagnostic("E002", "m", Span("s", 1, column, end_line, end_column), "w", "h")
    rows = render([found], sources={"s": line + "\nnext"}).splitlines()
    assert rows[2] == "   |"
    return rows[3], rows[4]


def test_the_layout():
    assert render([K1], sources={"spec.yaml": SPEC}) == SHOWN


def test_the_gutter_grows_with_the_number():
    found = Diagnostic("W206", "m", Span("s", 100, 1, 100, 2), "w", "h")
    assert render([found], sources={"s": "\n" * 99 + "ab"}) == (
        "warning[W206]: m\n    --> s:100:1\n     |\n 100 | ab\n     | ^\n     = why:  w\n     = help: h\n"
    )


def test_without_a_source_the_place_remains():
    assert render([K1]).splitlines()[:3] == [
        SHOWN.splitlines()[0],
        "  --> spec.yaml:7:16",
        SHOWN.splitlines()[5],
    ]
    assert render([K1], sources={"spec.yaml": "one line"}).splitlines()[2].startswith("   = why:")


def test_words_of_the_code_stand_in():
    text = render([Diagnostic("E005", "m", Span.at("s"))])
    assert "= why:  most YAML readers silently keep the last one" in text
    assert "= help: delete one of the two" in text


def test_a_code_of_no_table_has_no_words():
    assert render([Diagnostic("E999", "m", Span.at("s"))]) == "error[E999]: m\n  --> s:1:1\n"


def test_long_help_is_indented():
    found = Diagnostic("E002", "m", Span.at("s"), "w", "one\ntwo")
    assert render([found]).endswith("   = help: one\n           two\n")


@pytest.mark.parametrize(
    ("line", "column", "end", "shown", "carets"),
    [
        ("abc", 2, 3, " 1 | abc", "   |  ^"),
        ("abc", 4, 4, " 1 | abc", "   |    ^"),
        ("", 1, 1, " 1 |", "   | ^"),
        ("\tab", 2, 3, " 1 |     ab", "   |     ^"),
        ("a\tb", 2, 4, " 1 | a   b", "   |  ^^^^"),
        ("日本: x", 5, 6, " 1 | 日本: x", "   |       ^"),
        ("日本: x", 1, 3, " 1 | 日本: x", "   | ^^^^"),
        ("e\u0301: x", 5, 6, " 1 | e\u0301: x", "   |    ^"),
        ("a\x1b[31mb", 2, 3, " 1 | a␛[31mb", "   |  ^"),
        ("a\u202eb", 3, 4, " 1 | a\ufffdb", "   |   ^"),
        ("a\x85b", 3, 4, " 1 | a\ufffdb", "   |   ^"),
    ],
)
def test_carets_stand_below_what_they_mean(line, column, end, shown, carets):
    assert marked(line, column, end) == (shown, carets)


def test_a_span_of_several_lines_is_marked_to_the_end_of_its_first():
    assert marked("abcdef", 3, 2, end_line=2) == (" 1 | abcdef", "   |   ^^^^")


@pytest.mark.parametrize("at", [0, 5, 500, 990, 999])
def test_long_lines_are_cut_around_the_span(at):
    line = "".join(chr(0x4E00 + i) for i in range(1000))
    shown, carets = marked(line, at + 1, at + 2)
    assert len(shown) < 130
    before = len(carets) - carets.count("^") - 5
    ahead, place = 0, 5
    while ahead < before:
        ahead += width(shown[place])
        place += 1
    assert shown[place] == line[at]
    assert carets.endswith(" ^^" if at else "^^")


def test_a_very_long_span_stays_on_the_screen():
    shown, carets = marked("x" * 100_000, 1, 100_001)
    assert shown == " 1 | " + "x" * 120 + "…"
    assert carets == "   | " + "^" * 120


def test_text_of_others_cannot_move_the_cursor():
    found = Diagnostic("E002", "a\x1b[2Jb\rc", Span.at("s\x1b.yaml"), "w\x07", "h\u202e")
    assert not set("\x1b\r\x07\u202e") & set(render([found]))


@pytest.mark.parametrize(
    ("codes", "specs", "sentence"),
    [
        ([], 1, "Checked 1 spec: nothing to report."),
        (["E201", "E202", "W206"], 3, "Checked 3 specs: 2 errors, 1 warning."),
        (["W206", "W207"], 1, "Checked 1 spec: 2 warnings."),
        (["E201"], 2, "Checked 2 specs: 1 error."),
    ],
)
def test_the_closing_sentence(codes, specs, sentence):
    text = render([Diagnostic(code, "m", Span.at("s")) for code in codes], specs=specs)
    assert text.splitlines()[-1] == sentence
    assert text.endswith(".\n")


def test_findings_are_sorted_and_set_apart():
    late = Diagnostic("E201", "late", Span.at("s", 9))
    early = Diagnostic("E202", "early", Span.at("s", 2))
    blocks = render([late, early], specs=1).split("\n\n")
    assert [block.splitlines()[0][13:] for block in blocks[:2]] == ["early", "late"]
    assert len(blocks) == 3


def test_nothing_is_nothing():
    assert render([]) == ""


def test_colour_adds_only_colour():
    coloured = render([K1], color=True, specs=1, sources={"spec.yaml": SPEC})
    assert "\033[1;31merror[E201]" in coloured
    assert "\033[1;31m^^\033[0m" in coloured
    assert re.sub(r"\033\[[0-9;]*m", "", coloured) == render([K1], specs=1, sources={"spec.yaml": SPEC})
    assert "\033[1;33mwarning" in render([Diagnostic("W206", "m", Span.at("s"))], color=True)
