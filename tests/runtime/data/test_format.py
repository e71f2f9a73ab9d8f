from __future__ import annotations

from typing import Any

import pytest

from alignc.contract.failure import Failure
from alignc.runtime.data.format import Parsed, parse_row
from alignc.runtime.data.rows import Row
from alignc.runtime.data.settings import DataSettings

ASK = {"role": "user", "content": "What color?"}
SYSTEM = {"role": "system", "content": "Be brief."}
BLUE = {"role": "assistant", "content": "Blue."}
RED = {"role": "assistant", "content": "Red."}
PAIR = ("chosen", "rejected")


def parse(row: dict[str, Any], kind: str = "pairwise", **settings: Any) -> Parsed:
    settings.setdefault("responses", PAIR if kind == "pairwise" else ("completion",))
    return parse_row(Row(row, "a.jsonl", 7), DataSettings(kind=kind, source="a.jsonl", **settings))


def failure(row: dict[str, Any], kind: str = "pairwise", **settings: Any) -> Failure:
    with pytest.raises(Failure) as caught:
        parse(row, kind, **settings)
    assert (caught.value.file, caught.value.line) == ("a.jsonl", 7)
    return caught.value


def texts(parsed: Parsed) -> tuple[Any, ...]:
    return parsed.prompt, *parsed.responses


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"prompt": "Q: ", "chosen": "a", "rejected": "b"}, ("Q: ", "a", "b")),
        ({"prompt": [ASK], "chosen": [BLUE], "rejected": [RED]}, ((ASK,), (BLUE,), (RED,))),
        # implicit prompts: shared turns, shared text, HH's turn markers
        ({"chosen": [ASK, BLUE], "rejected": [ASK, RED]}, ((ASK,), (BLUE,), (RED,))),
        ({"chosen": [SYSTEM, ASK, BLUE], "rejected": [SYSTEM, ASK, RED]}, ((SYSTEM, ASK), (BLUE,), (RED,))),
        ({"chosen": [ASK, BLUE], "rejected": [ASK, BLUE]}, ((ASK,), (BLUE,), (BLUE,))),
        ({"chosen": "The sky is blue", "rejected": "The sky is black"}, ("The sky is bl", "ue", "ack")),
        (
            {
                "chosen": "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Sky?\n\nAssistant: It is blue.",
                "rejected": "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Sky?\n\nAssistant: It is.",
            },
            (
                "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Sky?\n\nAssistant:",
                " It is blue.",
                " It is.",
            ),
        ),
        # one side a conversation, the other plain text; the prompt repeated inside the answers
        ({"prompt": "What color?", "chosen": [BLUE], "rejected": [RED]}, ((ASK,), (BLUE,), (RED,))),
        ({"prompt": "What color?", "chosen": [ASK, BLUE], "rejected": [ASK, RED]}, ((ASK,), (BLUE,), (RED,))),
        (
            {"prompt": "What color?", "chosen": [SYSTEM, ASK, BLUE], "rejected": [SYSTEM, ASK, RED]},
            ((SYSTEM, ASK), (BLUE,), (RED,)),
        ),
        ({"prompt": [ASK], "chosen": "Blue.", "rejected": "Red."}, ((ASK,), (BLUE,), (RED,))),
        # ShareGPT
        (
            {
                "prompt": [{"from": "human", "value": "What color?"}],
                "chosen": [{"from": "gpt", "value": "Blue."}],
                "rejected": [{"from": "gpt", "value": "Red."}],
            },
            ((ASK,), (BLUE,), (RED,)),
        ),
        # Arrow fills in every key of a struct
        (
            {"prompt": [{**ASK, "tool_calls": None}], "chosen": [BLUE], "rejected": [RED]},
            ((ASK,), (BLUE,), (RED,)),
        ),
    ],
)
def test_pairwise(row: dict[str, Any], expected: tuple[Any, ...]) -> None:
    assert texts(parse(row)) == expected


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"prompt": "2+2=", "completion": "4"}, ("2+2=", "4")),
        ({"prompt": [ASK], "completion": [BLUE]}, ((ASK,), (BLUE,))),
        ({"messages": [ASK, BLUE]}, ((ASK,), (BLUE,))),
        ({"messages": [ASK, RED, ASK, BLUE, RED]}, ((ASK, RED, ASK), (BLUE, RED))),
        (
            {"conversations": [{"from": "human", "value": "What color?"}, {"from": "gpt", "value": "Blue."}]},
            ((ASK,), (BLUE,)),
        ),
        ({"text": "All of this."}, ("", "All of this.")),
    ],
)
def test_demonstrations(row: dict[str, Any], expected: tuple[Any, ...]) -> None:
    assert texts(parse(row, "demonstrations")) == expected


def test_pointwise_reads_the_columns_that_the_objective_needs() -> None:
    row = {"prompt": "p", "completion": "c", "label": True, "reward": -1.5}
    assert parse(row, "pointwise", needed=("label",)).columns == {"label": 1.0}
    assert parse(row, "pointwise", needed=("label", "reward/completion")).columns == {
        "label": 1.0,
        "reward/completion": -1.5,
    }


def test_scored_keeps_all_responses_with_their_rewards() -> None:
    row = {"prompt": "p", "completions": ["a", "b", "c"], "rewards": [0, 1, 0.5]}
    parsed = parse(row, "scored", needed=("reward/completions",))
    assert texts(parsed) == ("p", "a", "b", "c")
    assert parsed.columns == {"reward/completions": (0.0, 1.0, 0.5)}


def test_scored_serves_pairs_with_the_best_and_the_worst() -> None:
    row = {"prompt": "p", "completions": ["a", "b", "c"], "rewards": [0, 1, 0.5]}
    parsed = parse(row, "scored", responses=PAIR, needed=("reward/chosen", "reward/rejected"))
    assert texts(parsed) == ("p", "b", "a")
    assert parsed.columns == {"reward/chosen": 1.0, "reward/rejected": 0.0}
    by_rate = {"prompt": "p", "completions": ["a", "b"], "win_rates": [0.2, 0.8]}
    assert texts(parse(by_rate, "scored", responses=PAIR)) == ("p", "b", "a")


def test_prompts_have_no_responses() -> None:
    assert texts(parse({"prompt": "p", "answer": "4"}, "prompts")) == ("p",)


def test_dotted_paths_reach_into_objects_and_lists() -> None:
    columns = {"prompt": "question", "chosen": "answers.0.text", "rejected": "meta.bad.text"}
    row = {"question": "q", "answers": [{"text": "good"}], "meta": {"bad": {"text": "bad"}}}
    assert texts(parse(row, columns=columns)) == ("q", "good", "bad")
    assert texts(parse({"q.x": "q", "chosen": "a", "rejected": "b"}, columns={"prompt": "q.x"})) == (
        "q",
        "a",
        "b",
    )


def test_tools_travel_with_the_row() -> None:
    row = {"prompt": [ASK], "chosen": [BLUE], "rejected": [RED], "tools": [{"name": "look"}]}
    assert parse(row).tools == [{"name": "look"}]


def test_a_missing_column_is_named_with_those_there_are_and_a_guess() -> None:
    missing = failure({"question": "q", "chosen": "a", "rejected": "b", "id": 3}, "demonstrations")
    assert missing.code == "E701"
    assert missing.message == (
        "there is no column `completion`; the columns are `question`, `chosen`, `rejected`, `id`"
    )
    missing = failure({"question": "q", "completion": "a"}, "demonstrations")
    assert missing.help == "name the column: `columns: {prompt: question}`"
    mapped = failure({"q": "q", "completion": "a"}, "demonstrations", columns={"prompt": "meta.question"})
    assert "no column `meta.question` (columns.prompt)" in mapped.message


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ({"chosen": "answers.7.text"}, "E701"),
        ({"chosen": "answers.text"}, "E701"),
        ({"chosen": "answers.0"}, "E702"),
    ],
)
def test_a_path_that_leads_nowhere(columns: dict[str, str], code: str) -> None:
    row = {"prompt": "q", "answers": [{"text": "good"}], "rejected": "b"}
    assert failure(row, columns=columns).code == code


def test_a_csv_s_cells_are_converted_to_numbers() -> None:
    settings = DataSettings(kind="pointwise", source="a.csv", needed=("label", "reward"))
    cells = {"prompt": "p", "completion": "c", "label": "True", "reward": "2.5"}
    assert parse_row(Row(cells, "a.csv", 2), settings).columns == {"label": 1.0, "reward": 2.5}
    with pytest.raises(Failure, match="`reward` is a string, not a number"):
        parse_row(Row({**cells, "reward": "high"}, "a.csv", 2), settings)
