import pytest

from alignc.diagnostics import Diagnostic, Span, apply_waivers
from alignc.diagnostics.comments import comments


def at(code, line, file="s"):
    return Diagnostic(code, "m", Span(file, line, 3, line, 5))


def left(text, *found):
    return [(item.code, item.span.line) for item in apply_waivers(found, {"s": text})]


def test_a_waiver_reaches_its_own_line():
    text = "a: 1\nb: 2  # alignc: ignore[W206] k3 is meant\nc: 3\n"
    assert left(text, at("W206", 1), at("W206", 2), at("W206", 3), at("W207", 2)) == [
        ("W206", 1),
        ("W206", 3),
        ("W207", 2),
    ]


def test_a_waiver_alone_reaches_the_next_line_of_content():
    text = "a:\n  # alignc: ignore[W206] meant\n\n  # another comment\n  b: 1\n  c: 2\n"
    assert left(text, at("W206", 1), at("W206", 2), at("W206", 5), at("W206", 6)) == [
        ("W206", 1),
        ("W206", 2),
        ("W206", 6),
    ]


def test_waivers_above_one_line_add_up():
    text = "# alignc: ignore[W206] one\n# alignc: ignore[W209] two\na: 1\nb: 2\n"
    assert left(text, at("W206", 3), at("W209", 3), at("W206", 4)) == [("W206", 4)]


def test_several_codes_in_one_comment():
    text = "a: 1 #alignc:ignore[ W206 ,E201]\n"
    assert left(text, at("W206", 1), at("E201", 1), at("W207", 1)) == [("W207", 1)]


def test_the_whole_file():
    text = "# x\n# alignc: ignore-file[W206] meant\n---\na: 1\nb: 2\n"
    assert left(text, at("W206", 1), at("W206", 5), at("E201", 5)) == [("E201", 5)]


def test_ignore_at_the_top_is_not_the_whole_file():
    text = "# alignc: ignore[W206] meant\na: 1\nb: 2\n"
    assert left(text, at("W206", 2), at("W206", 3)) == [("W206", 3)]


@pytest.mark.parametrize(
    "text", ["a: 1\n# alignc: ignore-file[W206] late\n", "a: 1 # alignc: ignore-file[W206] late\n"]
)
def test_the_whole_file_is_waived_above_the_first_key_only(text):
    line = text[: text.index("#")].count("\n") + 1
    assert left(text, at("W206", 1)) == [("W206", 1), ("W009", line)]


@pytest.mark.parametrize("code", ["E001", "E004", "E101", "E401", "E601"])
def test_errors_that_are_not_of_soundness_stay(code):
    kept = apply_waivers([at(code, 1)], {"s": f"a: 1  # alignc: ignore[{code}] no\n"})
    assert [(item.code, item.span) for item in kept] == [
        (code, at(code, 1).span),
        ("W009", Span("s", 1, 7, 1, 32)),
    ]
    assert f"{code} cannot be waived" in kept[1].message


@pytest.mark.parametrize("code", ["W206", "W405", "W502", "E201", "E301"])
def test_warnings_and_errors_of_soundness_can_be_waived(code):
    assert left(f"a: 1  # alignc: ignore[{code}] yes\n", at(code, 1)) == []


def test_an_unknown_code_is_named():
    (found,) = apply_waivers([], {"s": "a: 1  # alignc: ignore[W2066]\n"})
    assert found.code == "W009"
    assert "`W2066`" in found.message
    assert "`W206`" in found.help


@pytest.mark.parametrize("words", ["ignore", "ignore[]", "ignore W206", "ignored[W206]", "ignore-line[W206]"])
def test_a_comment_that_is_almost_a_waiver(words):
    assert left(f"a: 1  # alignc: {words}\n", at("W206", 1)) == [("W206", 1), ("W009", 1)]


def test_other_comments_are_no_waivers():
    text = "# alignc: a spec for arithmetic\na: 1 # about alignc: ignore[W206]\n"
    assert left(text, at("W206", 2)) == [("W206", 2)]


def test_w009_can_be_waived():
    text = "# alignc: ignore-file[W009]\na: 1  # alignc: ignore[E004] later\n"
    assert left(text) == []


def test_files_are_kept_apart():
    sources = {"s": "a: 1 # alignc: ignore[W206]\n", "t": "a: 1\n"}
    assert apply_waivers([at("W206", 1), at("W206", 1, "t"), at("W206", 1, "u")], sources) == (
        at("W206", 1, "t"),
        at("W206", 1, "u"),
    )


QUOTED = """\
a: "# no" # one
b: 'it''s # no' # two
c: "x \\" # no" # three
d: x#no
e: it's # four
f: |
  # no
   # no

  # no
# five
g: >-   # six
  # no
h: "over
  # no
  lines" # seven
- |
 # no
i: [a, '# no', {b: "#no"}] # eight
#nine
"""


def test_comments_are_told_from_text():
    found = [(item.line, item.text, item.alone) for item in comments(QUOTED)]
    assert found == [
        (1, "# one", False),
        (2, "# two", False),
        (3, "# three", False),
        (5, "# four", False),
        (11, "# five", True),
        (12, "# six", False),
        (16, "# seven", False),
        (19, "# eight", False),
        (20, "#nine", True),
    ]


def test_a_waiver_inside_text_is_text():
    text = 'a: "# alignc: ignore[W206]"\nb: |\n  # alignc: ignore[W206]\n  x\n'
    assert left(text, at("W206", 1), at("W206", 4)) == [("W206", 1), ("W206", 4)]
