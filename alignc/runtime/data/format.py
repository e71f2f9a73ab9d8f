"""Turn a row into a prompt and its responses: one small function a kind of data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from ...contract.failure import Failure
from ...contract.kinds import ONLINE
from ...contract.layouts import PROMPT_WORDS, SCORE_KEYS, TEXT_KEYS, columns_of, unread
from .chat import Chat, Text, answer_start, shared_turns, tools_from
from .columns import Fields, kind_of
from .frame import as_chat, framed, with_input
from .rows import Row
from .settings import DataSettings

__all__ = ["Parsed", "parse_row", "unread_columns"]

# Where an answer begins in plain-text dialogues; the first is Anthropic's HH.
_TURN_MARKERS = (
    "\n\nAssistant:",
    "<|im_start|>assistant\n",
    "<|assistant|>",
    "[/INST]",
    "### Response:",
)


@dataclass(frozen=True)
class Parsed:
    """A row's texts: a prompt and responses, all strings or all conversations.

    The prompt is "" only for a row of plain `text`, all of which is the response.
    """

    prompt: Text
    responses: tuple[Text, ...]
    columns: Mapping[str, float | tuple[float, ...]] = field(default_factory=dict)
    tools: Any = None


def parse_row(row: Row, settings: DataSettings) -> Parsed:
    """Read a row of ``settings.kind``; raises E701, E702 or E704 at the row's place."""
    fields = Fields(row, columns_of(settings.kind, row.fields, settings.columns))
    parsed = _KINDS[settings.kind](fields, settings)
    return parsed if not fields.has("tools") else _with_tools(parsed, fields)


def unread_columns(fields: Mapping[str, Any], settings: DataSettings) -> list[str]:
    """List the columns of a row that nothing reads: neither a part of the row nor the objective."""
    if settings.kind in ONLINE:
        return []  # rewards get every column
    names = {_PAIR_COLUMNS.get(name, name.partition("/")[0]) for name in settings.needed}
    named = {settings.columns.get(name) or name for name in names}
    return unread(fields, columns_of(settings.kind, fields, settings.columns), named)


def _demonstration(fields: Fields, settings: DataSettings) -> Parsed:
    if "text" in fields.columns and not fields.has("messages"):
        return Parsed("", (_not_empty(fields, "text", fields.text("text")),))
    return _one_response(fields, ())


def _pointwise(fields: Fields, settings: DataSettings) -> Parsed:
    return _one_response(fields, settings.needed)


def _one_response(fields: Fields, needed: tuple[str, ...]) -> Parsed:
    told = "messages" in fields.columns and fields.has("messages")
    prompt, responses = _split_conversation(fields) if told else _explicit(fields, ("completion",))
    return Parsed(prompt, responses, {name: _number(fields, name.partition("/")[0]) for name in needed})


# A pair's rewards stand in two columns, a group's in a list.
_PAIR_COLUMNS = {"reward/chosen": "score_chosen", "reward/rejected": "score_rejected"}
_GROUP_COLUMNS = {"reward": "rewards", "win_rate": "win_rates", "label": "labels"}


def _pairwise(fields: Fields, settings: DataSettings) -> Parsed:
    if "prompt" in fields.columns or fields.has("prompt"):
        prompt, responses = _explicit(fields, ("chosen", "rejected"))
    else:
        prompt, responses = _told_pair(fields) if "messages" in fields.columns else _implicit(fields)
    columns = {name: _number(fields, _PAIR_COLUMNS.get(name, name)) for name in settings.needed}
    return Parsed(prompt, responses, columns)


def _scored(fields: Fields, settings: DataSettings) -> Parsed:
    """Read k responses with their rewards; where the objective takes pairs, the best and the worst."""
    completions = fields.items("completions")
    prompt, responses = _answers(
        fields, [(f"completions[{index}]", _text_of(value)) for index, value in enumerate(completions)]
    )
    if settings.responses[:2] != ("chosen", "rejected"):
        lists = {name: _GROUP_COLUMNS[name.partition("/")[0]] for name in settings.needed}
        columns = {name: tuple(_scores(fields, column, len(responses))) for name, column in lists.items()}
        return Parsed(prompt, responses, columns)
    name = "win_rates" if fields.has("win_rates") and not fields.has("rewards") else "rewards"
    scores = _scores(fields, name, len(responses))
    if max(scores) == min(scores):
        raise fields.wrong(name, "are all equal, so no response is better than another")
    best, worst = scores.index(max(scores)), scores.index(min(scores))
    known = {"reward/chosen": scores[best], "reward/rejected": scores[worst]}
    return Parsed(prompt, (responses[best], responses[worst]), {n: known[n] for n in settings.needed})


def _prompts(fields: Fields, settings: DataSettings) -> Parsed:
    return _one_response(fields, ()) if settings.demonstrated else Parsed(_prompt(fields), ())


_KINDS = {
    "demonstrations": _demonstration,
    "pairwise": _pairwise,
    "pointwise": _pointwise,
    "scored": _scored,
    "prompts": _prompts,
    "self_play": _prompts,
}


def _explicit(fields: Fields, names: tuple[str, ...]) -> tuple[Text, tuple[Text, ...]]:
    return _answers(fields, [(name, fields.value(name)) for name in names])


def _answers(fields: Fields, values: list[tuple[str, Any]]) -> tuple[Text, tuple[Text, ...]]:
    """Check a prompt and its answers; if one is a conversation, make conversations of the others."""
    bare = _bare_prompt(fields)
    answers = [_not_empty(fields, name, fields.as_text(name, value)) for name, value in values]
    if all(isinstance(text, str) for text in (bare, *answers)) and framed(fields, bare) is bare:
        return bare, tuple(answers)
    chat = _whole_prompt(as_chat(bare, "user"), answers)
    responses = [_reply(fields, name, chat, text) for (name, _), text in zip(values, answers, strict=True)]
    return framed(fields, chat), tuple(responses)


def _prompt(fields: Fields) -> Text:
    return framed(fields, _bare_prompt(fields))


def _bare_prompt(fields: Fields) -> Text:
    prompt = with_input(fields, _not_empty(fields, "prompt", fields.text("prompt")))
    if not isinstance(prompt, str) and prompt[-1]["role"] == "assistant":
        raise fields.wrong("prompt", "ends with a turn of the assistant, which belongs to the response")
    return prompt


def _whole_prompt(prompt: Chat, answers: list[Text]) -> Chat:
    """Prefer the turns before the first answer where they end with the prompt (with a system turn first, say)."""
    first = as_chat(answers[0], "assistant")
    before, answer = first[: answer_start(first)], first[answer_start(first) :]
    return before if answer and before[-len(prompt) :] == prompt else prompt


def _reply(fields: Fields, name: str, prompt: Chat, text: Text) -> Chat:
    """Return the answer alone: without the prompt, which may lack its beginning there."""
    chat = as_chat(text, "assistant")
    starts = (prompt[skip:] for skip in range(len(prompt)))
    said = next((start for start in starts if chat[: len(start)] == start), ())
    return _assistant_only(fields, name, chat[len(said) :])


def _assistant_only(fields: Fields, name: str, reply: Chat) -> Chat:
    if not reply:
        raise fields.row.failure("E704", f"`{name}` has no turn after the prompt")
    if reply[0]["role"] != "assistant" or reply[-1]["role"] != "assistant":
        raise fields.wrong(name, "must begin and end with a turn of the assistant after the prompt")
    return reply


def _split_conversation(fields: Fields) -> tuple[Text, tuple[Text, ...]]:
    """Take the assistant's turns at the end as the response, all before them as the prompt."""
    chat = fields.text("messages")
    if isinstance(chat, str):
        raise fields.wrong("messages", "is a string, not a list of messages")
    start = answer_start(chat)
    if start == len(chat):
        raise fields.row.failure("E704", "`messages` does not end with a turn of the assistant")
    if start == 0:
        raise fields.row.failure("E704", "`messages` has no turn before the turn of the assistant")
    return framed(fields, chat[:start]), (_not_empty(fields, "messages", chat[start:]),)


def _told_pair(fields: Fields) -> tuple[Text, tuple[Text, ...]]:
    """Take a conversation with the chosen response, and the rejected one from a column of its own."""
    prompt, (chosen,) = _split_conversation(fields)
    rejected = _not_empty(fields, "rejected", fields.text("rejected"))
    return prompt, (chosen, _reply(fields, "rejected", as_chat(prompt, "user"), rejected))


def _implicit(fields: Fields) -> tuple[Text, tuple[Text, ...]]:
    """Split the prompt off as the beginning that chosen and rejected share."""
    chosen = _not_empty(fields, "chosen", fields.text("chosen"))
    rejected = _not_empty(fields, "rejected", fields.text("rejected"))
    if isinstance(chosen, str) and isinstance(rejected, str):
        return _in_frame(fields, *_implicit_text(fields, chosen, rejected))
    if isinstance(chosen, str) or isinstance(rejected, str):
        raise fields.wrong("rejected", "and `chosen` must both be strings or both conversations")
    start = min(shared_turns(chosen, rejected), answer_start(chosen), answer_start(rejected))
    if start == 0:
        raise _no_prompt(fields)
    pair = (("chosen", chosen), ("rejected", rejected))
    return framed(fields, chosen[:start]), tuple(
        _assistant_only(fields, name, chat[start:]) for name, chat in pair
    )


def _in_frame(fields: Fields, prompt: Text, answers: tuple[str, ...]) -> tuple[Text, tuple[Text, ...]]:
    """Put a frame around a plain prompt; the answers then are turns too."""
    whole = framed(fields, prompt)
    return whole, answers if whole is prompt else tuple(as_chat(text, "assistant") for text in answers)


def _implicit_text(fields: Fields, chosen: str, rejected: str) -> tuple[str, tuple[str, ...]]:
    same = takewhile(lambda pair: pair[0] == pair[1], zip(chosen, rejected, strict=False))
    shared = chosen[: sum(1 for _ in same)]
    _check_no_other_prompt(fields)
    ends = [shared.rfind(marker) + len(marker) for marker in _TURN_MARKERS if marker in shared]
    prompt = shared[: max(ends)] if ends else shared
    if not prompt.strip():
        raise _no_prompt(fields)
    pair = (chosen[len(prompt) :], rejected[len(prompt) :])
    for name, text in zip(("chosen", "rejected"), pair, strict=True):
        _not_empty(fields, name, text)
    return prompt, pair


def _check_no_other_prompt(fields: Fields) -> None:
    """Raise E701 where a column looks like the prompt, which the beginning of both texts must not replace."""
    there = {
        str(name).lower(): name for name in fields.row.fields if fields.row.fields[name] not in (None, "")
    }
    if word := next((word for word in PROMPT_WORDS if word in there), None):
        name = there[word]
        message = f"there is no column `prompt`, but a column `{name}`"
        raise fields.row.failure("E701", message, f"name the column: `columns: {{prompt: {name}}}`")


def _no_prompt(fields: Fields) -> Failure:
    return fields.row.failure(
        "E704",
        "`chosen` and `rejected` have no common beginning, so there is no prompt",
        "add a `prompt` column, or name yours: `columns: {prompt: COLUMN}`",
    )


def _not_empty(fields: Fields, name: str, text: Text) -> Text:
    spoken = text if isinstance(text, str) else text[-1].get("content", "called a tool")
    if not spoken.strip():
        raise fields.row.failure("E704", f"`{name}` is empty")
    return text


def _number(fields: Fields, name: str) -> float:
    value = fields.number(name)
    if name == "label" and value not in (0.0, 1.0):
        raise fields.wrong(name, f"is {value:g}, not true or false")
    return value


def _text_of(item: Any) -> Any:
    """Return the text of a response; one that is an object has it under one of several keys."""
    if not isinstance(item, Mapping) or item.keys() & {"role", "from"}:
        return item
    return next((item[key] for key in TEXT_KEYS if item.get(key) is not None), item)


def _scores(fields: Fields, name: str, count: int) -> list[float]:
    """Read a number for each response: from the list in a column, or out of responses that are objects."""
    if not fields.has(name) and all(isinstance(item, Mapping) for item in fields.items("completions")):
        return [_score_of(fields, name, i, item) for i, item in enumerate(fields.items("completions"))]
    values = [fields.as_number(f"{name}[{i}]", value) for i, value in enumerate(fields.items(name))]
    if len(values) != count:
        raise fields.wrong(name, f"has {len(values)} numbers for {count} completions")
    return values


def _score_of(fields: Fields, name: str, index: int, item: Mapping[str, Any]) -> float:
    keys = SCORE_KEYS if name == "rewards" else (name.removesuffix("s"),)
    key = next((key for key in keys if item.get(key) is not None), None)
    if key is None:
        wanted = " or ".join(f"`{key}`" for key in keys)
        message = f"there is no column `{name}`, and `completions[{index}]` has no {wanted}"
        raise fields.row.failure(
            "E701", message, f"name the column of the list: `columns: {{{name}: COLUMN}}`"
        )
    return fields.as_number(f"completions[{index}].{key}", item[key])


def _with_tools(parsed: Parsed, fields: Fields) -> Parsed:
    tools = tools_from(value := fields.value("tools"))
    if tools is None:
        raise fields.wrong("tools", f"is {kind_of(value)}, not a list of JSON schemas or JSON text of one")
    return Parsed(parsed.prompt, parsed.responses, parsed.columns, tools)
