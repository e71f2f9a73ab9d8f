"""Write a row's prompt and responses as the text that a tokenizer will read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError

from ...contract.failure import Failure
from .chat import Chat, Text
from .format import Parsed
from .rows import Row
from .template import Template

__all__ = ["Rendered", "render"]


@dataclass(frozen=True)
class Rendered:
    """Texts: the prompt, and for each response the prompt with that response behind it.

    ``templated`` tells that a chat template wrote them, so that BOS is its affair.
    """

    prompt: str
    wholes: tuple[str, ...]
    templated: bool


def render(row: Row, parsed: Parsed, tokenizer: Any, template: Template | None = None) -> Rendered:
    """Write plain rows as they are, and conversations through ``template``, by default the tokenizer's own.

    Raises E709 without a usable template, E702 where it refuses the row, E708 where it writes the prompt
    differently once an answer follows.
    """
    prompt = parsed.prompt
    if isinstance(prompt, str):
        return Rendered(prompt, tuple(prompt + _plain(text) for text in parsed.responses), templated=False)
    template = template or Template()
    if template.text is None and tokenizer.chat_template is None:
        raise Failure(
            "E709",
            "the rows are conversations, but the tokenizer has no chat template",
            help="name a template with `data.chat_template: FILE`, or use the instruct version of the model",
        )
    apply = partial(_apply, row, tokenizer, template, tools=parsed.tools)
    written = apply(prompt, add_generation_prompt=True)
    wholes = [apply((*prompt, *reply)) for reply in parsed.responses]
    if not all(whole.startswith(written) for whole in wholes):
        _check_same_prompt(row, apply(prompt), wholes)
    return Rendered(written, tuple(wholes), templated=True)


def _plain(text: Text) -> str:
    if not isinstance(text, str):
        raise TypeError("a plain prompt has plain responses")
    return text


def _apply(row: Row, tokenizer: Any, template: Template, chat: Chat, **options: Any) -> str:
    try:
        return template.write(tokenizer, [*chat], row.origin, **options)
    except TemplateSyntaxError as error:
        raise Failure(
            "E709",
            f"the chat template is not valid Jinja: {error}",
            why="a Jinja template turns conversations into text, and this template does not compile",
            help="correct the template at the given line, or delete `data.chat_template` to use that of the model",
        ) from error
    except (TemplateError, TypeError, ValueError, KeyError) as error:
        raise row.failure("E702", f"the chat template refuses the conversation: {error}") from error


def _check_same_prompt(row: Row, bare: str, wholes: list[str]) -> None:
    if all(whole.startswith(bare) for whole in wholes):
        return  # only the generation prompt differs (an opening <think>, say): split where they part
    raise row.failure("E708", "the chat template writes the prompt differently if a response follows")
