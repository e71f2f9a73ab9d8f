"""Turn a row into a prompt and its responses: one small function a kind of data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from ...contract.failure import Failure
from .chat import Chat, Text, answer_start, shared_turns
from .columns import Fields, kind_of
from .rows import Row
from .settings import DataSettings

__all__ = ["Parsed", "parse_row"]

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
    fields = Fields(row, settings.columns)
    parsed = _KINDS[settings.kind](fields, settings)
    return parsed if not fields.has("tools") else _with_tools(parsed, fields)


def _demonstration(fields: Fields, settings: DataSettings) -> Parsed:
    turns = next((name for name in ("messages", "conversations") if fields.has(name)), None)
    if fields.has("completion") or (turns is None and not fields.has("text")):
        return _one_response(fields, ())
    if turns is not None:
        return _split_conversation(fields, turns)
    return Parsed("", (_not_empty(fields, "text", fields.text("text")),))


def _pointwise(fields: Fields, settings: DataSettings) -> Parsed:
    return _one_response(fields, settings.needed)


def _one_response(fields: Fields, needed: tuple[str, ...]) -> Parsed:
    prompt, responses = _explicit(fields, ("completion",))
    return Parsed(prompt, responses, {name: _number(fields, name.partition("/")[0]) for name in needed})


# A pair's rewards stand in two columns, a group's in a list.
_PAIR_COLUMNS = {"reward/chosen": "score_chosen", "reward/rejected": "score_rejected"}
_GROUP_COLUMNS = {"reward": "rewards", "win_rate": "win_rates", "label": "labels"}


def _pairwise(fields: Fields, settings: DataSettings) -> Parsed:
    names = ("chosen", "rejected")
    explicit = fields.has("prompt")
    prompt, responses = _explicit(fields, names) if explicit else _implicit(fields)
    columns = {name: _number(fields, _PAIR_COLUMNS.get(name, name)) for name in settings.needed}
    return Parsed(prompt, responses, columns)


def _scored(fields: Fields, settings: DataSettings) -> Parsed:
    """Read k responses with their rewards; where the objective takes pairs, the best and the worst."""
    completions = fields.items("completions")
    prompt, responses = _answers(
        fields, [(f"completions[{index}]", value) for index, value in enumerate(completions)]
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
    prompt = _prompt(fields)
    answers = [_not_empty(fields, name, fields.as_text(name, value)) for name, value in values]
    if all(isinstance(text, str) for text in (prompt, *answers)):
        return prompt, tuple(answers)
    chat = _whole_prompt(_as_chat(prompt, "user"), answers)
    responses = [_reply(fields, name, chat, text) for (name, _), text in zip(values, answers, strict=True)]
    return chat, tuple(responses)


def _prompt(fields: Fields) -> Text:
    prompt = _not_empty(fields, "prompt", fields.text("prompt"))
    if not isinstance(prompt, str) and prompt[-1]["role"] == "assistant":
        raise fields.wrong("prompt", "ends with a turn of the assistant, which belongs to the response")
    return prompt


def _as_chat(text: Text, role: str) -> Chat:
    return ({"role": role, "content": text},) if isinstance(text, str) else text


def _whole_prompt(prompt: Chat, answers: list[Text]) -> Chat:
    """Prefer the turns before the first answer where that repeats the prompt (with a system turn, say)."""
    first = _as_chat(answers[0], "assistant")
    before, answer = first[: answer_start(first)], first[answer_start(first) :]
    return before if before and answer and before[-1] == prompt[-1] else prompt


def _reply(fields: Fields, name: str, prompt: Chat, text: Text) -> Chat:
    chat = _as_chat(text, "assistant")
    reply = chat[len(prompt) :] if chat[: len(prompt)] == prompt else chat
    return _assistant_only(fields, name, reply)


def _assistant_only(fields: Fields, name: str, reply: Chat) -> Chat:
    if not reply:
        raise fields.row.failure("E704", f"`{name}` has no turn after the prompt")
    if reply[0]["role"] != "assistant" or reply[-1]["role"] != "assistant":
        raise fields.wrong(name, "must begin and end with a turn of the assistant after the prompt")
    return reply


def _split_conversation(fields: Fields, name: str) -> Parsed:
    """Take the assistant's turns at the end as the response, all before them as the prompt."""
    chat = fields.text(name)
    if isinstance(chat, str):
        raise fields.wrong(name, "is a string, not a list of messages")
    start = answer_start(chat)
    if start == len(chat):
        raise fields.row.failure("E704", f"`{name}` does not end with a turn of the assistant")
    if start == 0:
        raise fields.row.failure("E704", f"`{name}` has no turn before the turn of the assistant")
    return Parsed(chat[:start], (_not_empty(fields, name, chat[start:]),))


def _implicit(fields: Fields) -> tuple[Text, tuple[Text, ...]]:
    """Split the prompt off as the beginning that chosen and rejected share."""
    chosen = _not_empty(fields, "chosen", fields.text("chosen"))
    rejected = _not_empty(fields, "rejected", fields.text("rejected"))
    if isinstance(chosen, str) and isinstance(rejected, str):
        return _implicit_text(fields, chosen, rejected)
    if isinstance(chosen, str) or isinstance(rejected, str):
        raise fields.wrong("rejected", "and `chosen` must both be strings or both conversations")
    start = min(shared_turns(chosen, rejected), answer_start(chosen), answer_start(rejected))
    if start == 0:
        raise _no_prompt(fields)
    pair = (("chosen", chosen), ("rejected", rejected))
    return chosen[:start], tuple(_assistant_only(fields, name, chat[start:]) for name, chat in pair)


def _implicit_text(fields: Fields, chosen: str, rejected: str) -> tuple[Text, tuple[Text, ...]]:
    same = takewhile(lambda pair: pair[0] == pair[1], zip(chosen, rejected, strict=False))
    shared = chosen[: sum(1 for _ in same)]
    ends = [shared.rfind(marker) + len(marker) for marker in _TURN_MARKERS if marker in shared]
    prompt = shared[: max(ends)] if ends else shared
    if not prompt.strip():
        raise _no_prompt(fields)
    pair = (("chosen", chosen[len(prompt) :]), ("rejected", rejected[len(prompt) :]))
    return prompt, tuple(_not_empty(fields, name, text) for name, text in pair)


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


def _scores(fields: Fields, name: str, count: int) -> list[float]:
    values = [fields.as_number(f"{name}[{i}]", value) for i, value in enumerate(fields.items(name))]
    if len(values) != count:
        raise fields.wrong(name, f"has {len(values)} numbers for {count} completions")
    return values


def _with_tools(parsed: Parsed, fields: Fields) -> Parsed:
    tools = fields.value("tools")
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise fields.wrong("tools", f"is {kind_of(tools)}, not a list of JSON schemas")
    return Parsed(parsed.prompt, parsed.responses, parsed.columns, tools)
