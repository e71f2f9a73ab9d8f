from __future__ import annotations

import copy

import pytest

from alignc.contract.failure import Failure


@pytest.mark.parametrize(
    ("code", "exit_code"), [("E701", 1), ("E709", 1), ("E601", 3), ("E606", 3), ("E801", 4), ("E806", 4)]
)
def test_exit_code_follows_from_the_code(code: str, exit_code: int) -> None:
    assert Failure(code, "x").exit_code == exit_code


def test_a_given_exit_code_wins() -> None:
    assert Failure("E801", "interrupted", exit_code=75).exit_code == 75


def test_as_dict_has_the_keys_of_a_json_diagnostic() -> None:
    failure = Failure("E702", "`chosen` is a number", why="w", help="h", file="a.jsonl", line=3, column=7)
    assert failure.as_dict() == {
        "code": "E702",
        "severity": "error",
        "message": "`chosen` is a number",
        "why": "w",
        "help": "h",
        "file": "a.jsonl",
        "line": 3,
        "column": 7,
        "end_line": 3,
        "end_column": 8,
    }


def test_a_failure_without_a_place_says_so() -> None:
    place = Failure("E601", "m").as_dict()
    assert [place[key] for key in ("file", "line", "column", "end_line", "end_column")] == [None] * 5


def test_a_failure_survives_a_copy() -> None:
    """As it must on its way from one process to another."""
    whole = copy.deepcopy(Failure("E704", "empty", help="h", file="a", line=2, exit_code=9))
    assert (str(whole), whole.help, whole.line, whole.exit_code) == ("E704: empty", "h", 2, 9)


def test_str_names_the_code() -> None:
    assert str(Failure("E707", "no rows left")) == "E707: no rows left"


def test_diagnostics_put_the_causes_first() -> None:
    whole = Failure("E706", "2 rows", causes=(Failure("E702", "a", line=1), Failure("E704", "b", line=2)))
    assert [(d["code"], d["line"]) for d in whole.diagnostics()] == [("E702", 1), ("E704", 2), ("E706", None)]
