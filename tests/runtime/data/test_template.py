"""What a template is given: values, a still clock, draws by the row, conversations without Arrow's nulls."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alignc.contract.failure import Failure
from alignc.runtime.data import template as template_module
from alignc.runtime.data.dataset import load_examples
from alignc.runtime.data.prompts import load_prompts
from alignc.runtime.data.settings import DataSettings

from ..chat_models import FAMILIES, QUESTION, save_chat_model

ASK = {"role": "user", "content": QUESTION}
DATED = (
    "{{ bos_token }}Today is {{ strftime_now('%d %b %Y') }}.{% for m in messages %}<|im_start|>{{ m.role }}: "
    "{{ m.content }}<|im_end|>{% endfor %}"
)
DRAWN = (
    "{% for m in messages %}<|im_start|>{{ ['one', 'two', 'six', 'ten'] | random }} "
    "{{ m.content }}<|im_end|>{% endfor %}"
)
CALLS = "{% for m in messages %}<|im_start|>{{ m | tojson }}<|im_end|>{% endfor %}{{ tools | tojson if tools else '' }}"
Jsonl = Callable[..., Path]


@pytest.fixture(scope="module")
def qwen3(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("qwen3")
    save_chat_model(FAMILIES["qwen3"], folder)
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(autouse=True)
def forget() -> None:
    template_module.recorded.cache_clear()


class Tomorrow(date):
    @classmethod
    def today(cls) -> date:
        return date.today() + timedelta(days=1)


def text_of(
    jsonl: Jsonl, tokenizer: Any, template: str, rows: list[Any] | None = None, **settings: Any
) -> list[str]:
    """Write the prompts of some rows with a template, as tokens and back."""
    file = jsonl([template], "t.jinja")
    source = jsonl(rows or [{"prompt": [ASK]}])
    whole = DataSettings("prompts", str(source), responses=(), chat_template=str(file), **settings)
    return [tokenizer.decode(prompt.ids) for prompt in load_prompts(whole, tokenizer, room=4).prompts]


def test_values_reach_prompts_and_responses(jsonl: Jsonl, qwen3: Any):
    """`enable_thinking: false` closes the thought in the prompt, as transformers writes it; the rest is the answer."""
    rows = [{"prompt": [ASK], "completion": [{"role": "assistant", "content": "4"}]}]
    settings = {"kind": "demonstrations", "source": str(jsonl(rows))}
    for values in ({}, {"enable_thinking": False}):
        row = load_examples(DataSettings(**settings, chat_template_kwargs=values), qwen3)[0]
        asked = qwen3.apply_chat_template([ASK], tokenize=False, add_generation_prompt=True, **values)
        assert qwen3.decode(row.prompt) == asked
        thought = "" if values else "<think>\n\n</think>\n\n"
        assert qwen3.decode(row.responses[0]) == f"{thought}4<|im_end|>"
    prompts = DataSettings("prompts", str(jsonl([{"prompt": [ASK]}], "p.jsonl")), chat_template_kwargs=values)
    assert load_prompts(prompts, qwen3, room=4).prompts[0].text == asked


def test_a_date_of_the_spec_is_the_date_of_the_template(jsonl: Jsonl, qwen3: Any):
    found = text_of(jsonl, qwen3, DATED, chat_template_date="2024-07-26")
    assert found[0].startswith("Today is 26 Jul 2024.")


def test_a_run_keeps_the_date_on_which_it_began(
    jsonl: Jsonl,
    qwen3: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    record = tmp_path / "chat_template_date.txt"
    before = text_of(jsonl, qwen3, DATED, date_record=str(record))
    assert date.fromisoformat(record.read_text().strip()) == date.today()
    assert f"`data.chat_template_date: {date.today()}`" in capsys.readouterr().err
    template_module.recorded.cache_clear()
    monkeypatch.setattr(template_module, "date", Tomorrow)
    assert text_of(jsonl, qwen3, DATED, date_record=str(record)) == before
    template_module.recorded.cache_clear()
    assert text_of(jsonl, qwen3, DATED) != before  # nothing recorded: the present date
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".chat")]
    own = qwen3.apply_chat_template([ASK], chat_template=DATED, tokenize=False)
    assert own.startswith(f"Today is {datetime.now():%d %b %Y}."), "the clock of others goes on"


def test_a_template_without_a_clock_records_nothing(
    jsonl: Jsonl, qwen3: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    record = tmp_path / "chat_template_date.txt"
    text_of(jsonl, qwen3, FAMILIES["chatml"].template, date_record=str(record))
    assert not record.exists()
    assert capsys.readouterr().err == ""


def test_a_template_that_draws_writes_the_same_text_each_time(jsonl: Jsonl, qwen3: Any):
    rows = [{"prompt": [ASK]} for _ in range(12)]
    random.seed(1)
    first, after = text_of(jsonl, qwen3, DRAWN, rows), random.random()
    random.seed(1)
    assert random.random() == after, "nobody else's draws have moved"
    assert text_of(jsonl, qwen3, DRAWN, rows) == first
    assert len(set(first)) > 1


def test_prompt_and_response_are_drawn_alike(jsonl: Jsonl, qwen3: Any):
    rows = [{"prompt": [ASK], "chosen": "4", "rejected": "5"} for _ in range(8)]
    file = jsonl([DRAWN], "t.jinja")
    settings = DataSettings(
        "pairwise", str(jsonl(rows)), responses=("chosen", "rejected"), chat_template=str(file)
    )
    assert len(load_examples(settings, qwen3)) == 8


TOOL = {"type": "function", "function": {"name": "add", "parameters": {"a": {"type": "integer"}}}}
CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": {"c": 2}}}}
CALLED = [ASK, {"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "content": "3"}]


def test_what_arrow_adds_is_not_written(jsonl: Jsonl, qwen3: Any, tmp_path: Path):
    """A parquet file gives every object the keys of all: the text is that of the same rows as JSON lines."""
    other = {"type": "function", "function": {"name": "cut", "arguments": {"text": "x"}}}
    cutter = {"type": "function", "function": {"name": "cut", "parameters": {"text": {"type": "string"}}}}
    rows = [
        {"prompt": CALLED, "tools": [TOOL]},
        {"prompt": [ASK, {"role": "assistant", "tool_calls": [other]}, CALLED[2]], "tools": [cutter]},
    ]
    expected = text_of(jsonl, qwen3, CALLS, rows)
    assert "null" not in "".join(expected)
    table = pa.Table.from_pylist(rows)
    assert None in table.to_pylist()[0]["prompt"][1]["tool_calls"][0]["function"]["arguments"].values()
    pq.write_table(table, tmp_path / "rows.parquet")
    settings = DataSettings(
        "prompts", str(tmp_path / "rows.parquet"), chat_template=str(tmp_path / "t.jinja")
    )
    found = [qwen3.decode(prompt.ids) for prompt in load_prompts(settings, qwen3, room=4).prompts]
    # The order of keys is Arrow's too: what is written is compared as values.
    values = [[json.loads(part) for part in parts_of(text)] for text in (*found, *expected)]
    assert values[:2] == values[2:]


def parts_of(text: str) -> list[str]:
    return [part for turn in text.split("<|im_start|>") for part in turn.split("<|im_end|>") if part]


@pytest.mark.parametrize("whole", [False, True])
def test_json_text_is_read_as_the_object_that_it_writes(whole: bool, jsonl: Jsonl, qwen3: Any):
    function = CALL["function"]
    as_text = {"type": "function", "function": {**function, "arguments": json.dumps(function["arguments"])}}  # type: ignore[dict-item]
    calls: Any = json.dumps([as_text]) if whole else [as_text]
    tools: Any = json.dumps([TOOL]) if whole else [json.dumps(TOOL)]
    written = [{"prompt": [ASK, {"role": "assistant", "tool_calls": calls}, CALLED[2]], "tools": tools}]
    assert text_of(jsonl, qwen3, CALLS, written) == text_of(
        jsonl, qwen3, CALLS, [{"prompt": CALLED, "tools": [TOOL]}]
    )


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            {"tool_calls": [{"function": {"name": "add", "arguments": "{a: 1"}}]},
            "[1].tool_calls[0].function.arguments",
        ),
        ({"tool_calls": [{"name": "add", "arguments": "[1]"}]}, "[1].tool_calls[0].arguments"),
        ({"tool_calls": [{"name": "add", "arguments": 3}]}, "[1].tool_calls[0].arguments"),
        ({"tool_calls": ["add"]}, "[1].tool_calls[0]` is not an object"),
        ({"tool_calls": "add(1)"}, "[1].tool_calls"),
    ],
)
def test_calls_that_are_none_are_refused_at_their_row(
    row: dict[str, Any], said: str, jsonl: Jsonl, qwen3: Any
):
    rows = [{"prompt": [ASK]}, {"prompt": [ASK, {"role": "assistant", **row}, CALLED[2]]}]
    with pytest.raises(Failure) as caught:
        text_of(jsonl, qwen3, CALLS, rows)
    cause = caught.value.causes[0]
    assert (cause.code, cause.line) == ("E702", 2)
    assert said in cause.message


@pytest.mark.parametrize("tools", ["add", "{}", "[1]", [1], ["{"], {"name": "add"}])
def test_tools_that_are_none_are_refused_at_their_row(tools: Any, jsonl: Jsonl, qwen3: Any):
    with pytest.raises(Failure) as caught:
        text_of(jsonl, qwen3, CALLS, [{"prompt": [ASK]}, {"prompt": [ASK], "tools": tools}])
    cause = caught.value.causes[0]
    assert (cause.code, cause.line) == ("E702", 2)
    assert "`tools`" in cause.message
