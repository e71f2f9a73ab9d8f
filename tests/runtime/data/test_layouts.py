"""Each layout of docs/data-formats.md gives exactly the prompt and the responses that stand beside it."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import alignc.docs
from alignc.contract.failure import Failure
from alignc.contract.kinds import GIVEN
from alignc.runtime.data.format import Parsed, parse_row, unread_columns
from alignc.runtime.data.rows import Row
from alignc.runtime.data.settings import DataSettings

LAYOUTS = json.loads((Path(alignc.docs.__file__).parent / "layouts.json").read_text("utf-8"))
PAIR = ("chosen", "rejected")
ASK, BLUE = {"role": "user", "content": "Sky?"}, {"role": "assistant", "content": "Blue."}


def settings(kind: str, **more: Any) -> DataSettings:
    return DataSettings(
        kind=kind, source="a.jsonl", responses=PAIR if kind == "pairwise" else ("completion",), **more
    )


def parse(row: dict[str, Any], kind: str = "pairwise", file: str = "a.jsonl", **more: Any) -> Parsed:
    return parse_row(Row(row, file, 7), settings(kind, **more))


def plain(value: Any) -> Any:
    """Tuples become lists, as in JSON."""
    return json.loads(json.dumps(value))


@pytest.mark.parametrize("case", LAYOUTS, ids=[case["layout"] for case in LAYOUTS])
def test_a_layout_gives_its_prompt_and_responses(case: dict[str, Any]) -> None:
    parsed = parse(case["row"], case["kind"], needed=tuple(case.get("needed", ())))
    assert plain([parsed.prompt, *parsed.responses]) == [case["prompt"], *case["responses"]]
    assert plain(dict(parsed.columns)) == case.get("values", {})


@pytest.mark.parametrize("case", LAYOUTS, ids=[case["layout"] for case in LAYOUTS])
def test_no_column_is_dropped_without_a_word(case: dict[str, Any]) -> None:
    """Each column's text is in what the model sees, or the column is told as not read."""
    if case["kind"] not in GIVEN:
        return  # rewards get every column
    own = settings(case["kind"], needed=tuple(case.get("needed", ())))
    assert unread_columns(case["row"], own) == case.get("unread", [])


@pytest.mark.parametrize("kind", ["pairwise", "pointwise", "demonstrations", "scored", "prompts"])
@pytest.mark.parametrize("prompt", ["Sky?", [ASK]])
def test_a_system_prompt_and_history_come_first_in_every_kind(kind: str, prompt: Any) -> None:
    row = {
        "system": "Be brief.",
        "history": [["hi", "hello"]],
        "prompt": prompt,
        "chosen": "Blue.",
        "rejected": "Red.",
        "completion": "Blue.",
        "completions": ["Blue.", "Red."],
        "label": True,
        "rewards": [1, 0],
    }
    turns = [("system", "Be brief."), ("user", "hi"), ("assistant", "hello"), ("user", "Sky?")]
    expected = tuple({"role": role, "content": text} for role, text in turns)
    parsed = parse(row, kind)
    assert parsed.prompt == expected
    assert all(reply[0]["role"] == "assistant" for reply in parsed.responses)


def test_a_mapped_prompt_keeps_its_system_prompt() -> None:
    row = {"system": "Speak French.", "q": "good day", "chosen": "bonjour", "rejected": "hola"}
    parsed = parse(row, columns={"prompt": "q", "chosen": "chosen", "system": None})
    assert parsed.prompt == (
        {"role": "system", "content": "Speak French."},
        {"role": "user", "content": "good day"},
    )
    assert parsed.responses == (
        ({"role": "assistant", "content": "bonjour"},),
        ({"role": "assistant", "content": "hola"},),
    )


def test_an_empty_name_takes_a_column_away() -> None:
    row = {"system": "gpt-4", "prompt": "Sky?", "chosen": "Blue.", "rejected": "Red."}
    assert parse(row, columns={"system": ""}).prompt == "Sky?"
    assert unread_columns(row, settings("pairwise", columns={"system": ""})) == ["system"]


def test_a_named_input_follows_any_prompt() -> None:
    row = {"question": "Which?", "context": "Red or blue.", "chosen": "Blue.", "rejected": "Red."}
    parsed = parse(row, columns={"prompt": "question", "input": "context"})
    assert parsed.prompt == "Which?\nRed or blue."
    assert unread_columns(row, settings("pairwise", columns={"prompt": "question"})) == ["context"]


def test_the_same_system_prompt_twice_counts_once_and_another_is_refused() -> None:
    told = {"role": "system", "content": "Be brief."}
    row = {"system": "Be brief.", "messages": [told, ASK, BLUE]}
    assert parse(row, "demonstrations").prompt == (told, ASK)
    with pytest.raises(Failure, match="`system` differs") as caught:
        parse({**row, "system": "Be long."}, "demonstrations")
    assert (caught.value.code, caught.value.line) == ("E702", 7)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("system", 3, "`system` is a number, not a string"),
        ("history", "hi", "`history` is a string, not a list"),
        ("history", [["hi"]], "`history[0]` is not a pair of a question and its answer"),
        ("input", ["2 and 2"], "`input` is a list, not a string"),
    ],
)
def test_a_part_of_a_wrong_type_is_refused(name: str, value: Any, message: str) -> None:
    row = {"instruction": "Add.", "chosen": "4", "rejected": "5", name: value}
    with pytest.raises(Failure) as caught:
        parse(row)
    assert (caught.value.code, caught.value.file, caught.value.line) == ("E702", "a.jsonl", 7)
    assert message in caught.value.message


def test_the_shared_beginning_never_replaces_a_column_that_looks_like_the_prompt() -> None:
    with pytest.raises(Failure, match="no column `prompt`, but a column `query`") as caught:
        parse({"query": "Sky?", "chosen": "It is blue.", "rejected": "It is red."})
    assert caught.value.code == "E701"
    assert caught.value.help == "name the column: `columns: {prompt: query}`"


def test_a_named_prompt_that_is_not_there_is_no_implicit_prompt() -> None:
    with pytest.raises(Failure, match="no column `questoin`"):
        parse({"question": "Sky?", "chosen": "It is.", "rejected": "It was."}, columns={"prompt": "questoin"})


def test_conversations_may_stand_in_cells() -> None:
    as_json = {"prompt": json.dumps([ASK]), "chosen": json.dumps([BLUE]), "rejected": "Red."}
    as_printed = {"prompt": str([ASK]), "chosen": str([BLUE]), "rejected": "Red."}
    red = {"role": "assistant", "content": "Red."}
    for row in (as_json, as_printed):
        parsed = parse(row, file="a.csv")
        assert (parsed.prompt, *parsed.responses) == ((ASK,), (BLUE,), (red,))


def test_a_list_may_stand_in_a_cell() -> None:
    cells = {"prompt": "Sky?", "completions": '["Blue.", "Red."]', "rewards": "[1, 0.5]"}
    parsed = parse(cells, "scored", file="a.tsv", needed=("reward/completions",))
    assert parsed.responses == ("Blue.", "Red.")
    assert parsed.columns == {"reward/completions": (1.0, 0.5)}


def test_a_response_without_its_score_is_refused() -> None:
    row = {"prompt": "Sky?", "completions": [{"response": "Blue.", "score": 1}, {"response": "Red."}]}
    with pytest.raises(Failure, match=r"`completions\[1\]` has no `score` or") as caught:
        parse(row, "scored", needed=("reward/completions",))
    assert caught.value.code == "E701"


@pytest.mark.parametrize(
    ("row", "kind", "needed", "name"),
    [
        ({"prompt": "a", "completion": "b", "label": 10**400}, "pointwise", ("label",), "label"),
        ({"prompt": "a", "completion": "b", "reward": -(10**400)}, "pointwise", ("reward",), "reward"),
        ({"prompt": "a", "chosen": "b", "rejected": "c", "score_chosen": 10**400, "score_rejected": 1},
         "pairwise", ("reward/chosen", "reward/rejected"), "score_chosen"),
        ({"prompt": "a", "completions": ["b", "c"], "rewards": [1, 10**400]},
         "scored", ("reward/completions",), "rewards[1]"),
        ({"prompt": "a", "completion": "b", "reward": Decimal("1e400")}, "pointwise", ("reward",), "reward"),
    ],
)  # fmt: skip
def test_a_number_that_no_float_holds_is_refused_at_its_row(
    row: dict[str, Any], kind: str, needed: tuple[str, ...], name: str
) -> None:
    with pytest.raises(Failure) as caught:
        parse(row, kind, needed=needed)
    assert (caught.value.code, caught.value.file, caught.value.line) == ("E702", "a.jsonl", 7)
    assert f"`{name}` is " in caught.value.message


def test_a_decimal_is_a_number() -> None:
    row = {"prompt": "a", "completion": "b", "reward": Decimal("0.25")}
    assert parse(row, "pointwise", needed=("reward",)).columns == {"reward": 0.25}
