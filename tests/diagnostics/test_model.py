import pickle

import pytest

from alignc.diagnostics import Diagnostic, DiagnosticError, Span, count, in_reading_order
from alignc.diagnostics.lines import Positions, split_lines


def found(code, line=1, column=1, file="s"):
    return Diagnostic(code, "m", Span(file, line, column, line, column + 1))


def test_the_letter_of_the_code_is_the_level():
    assert found("E201").severity == "error"
    assert found("W206").severity == "warning"


def test_values_are_immutable_and_equal_by_content():
    assert found("E201") == found("E201")
    with pytest.raises(AttributeError):
        found("E201").code = "E202"
    with pytest.raises(AttributeError):
        Span.at("s").line = 2


def test_an_error_carries_its_findings():
    one, two = found("E201"), found("W206", 3, 4)
    assert DiagnosticError(one).diagnostics == (one,)
    error = DiagnosticError(item for item in (one, two))
    assert error.diagnostics == (one, two)
    assert str(error) == "s:1:1: error[E201]: m\ns:3:4: warning[W206]: m"
    assert pickle.loads(pickle.dumps(error)).diagnostics == (one, two)


def test_reading_order_is_by_file_place_and_code():
    items = [found("E2", 2), found("E1", 2), found("W9", 1, 5), found("W8", 1, 4), found("E0", 9, 9, "a")]
    assert in_reading_order(items) == (items[4], items[3], items[2], items[1], items[0])


def test_counts():
    assert count([found("E1"), found("W1"), found("E2")]) == (2, 1)


@pytest.mark.parametrize(
    ("offset", "point"),
    [
        (0, (1, 1)),
        (2, (1, 3)),
        (3, (2, 1)),
        (4, (3, 1)),
        (5, (3, 2)),
        (6, (3, 3)),
        (7, (4, 1)),
        (8, (4, 2)),
        (99, (4, 2)),
    ],
)
def test_offsets_to_lines_and_columns(offset, point):
    # Offsets: a=0, \r\n=1-2, \n=3, 😀=4, \x85=5, \r=6, b=7.
    text = "a\r\n\n😀\x85\rb"
    assert split_lines(text) == ["a", "", "😀\x85", "b"]
    assert Positions("s", text).point(offset) == point


def test_spans_of_offsets():
    assert Positions("s", "ab\ncd").span(1, 4) == Span("s", 1, 2, 2, 2)
    assert str(Span.at("s", 3, 4)) == "s:3:4"
