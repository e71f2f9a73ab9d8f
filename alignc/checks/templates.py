"""Checks of what a chat template is given: values by name, and a date."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from alignc.checks.rule import Checked
from alignc.diagnostics import Diagnostic
from alignc.spec.rows import Rows

__all__ = ["template_values"]

TAKEN = (
    "add_generation_prompt",
    "chat_template",
    "continue_final_message",
    "conversation",
    "documents",
    "max_length",
    "messages",
    "padding",
    "return_assistant_tokens_mask",
    "return_dict",
    "return_tensors",
    "strftime_now",
    "tokenize",
    "tokenizer_kwargs",
    "tools",
    "truncation",
)
"""Names that alignc and transformers give a meaning of their own."""


def template_values(checked: Checked) -> Iterator[Diagnostic]:
    """E004: a value for the template under a name that is taken, and a date that no calendar has."""
    data = checked.spec.job.data
    if not isinstance(data, Rows):
        return
    for name in data.chat_template_kwargs:
        if name in TAKEN:
            yield checked.finding(
                "E004",
                f"`chat_template_kwargs` cannot set `{name}`",
                ("data", "chat_template_kwargs", name),
                why="conversations, tools and the way of writing them come from the rows and from alignc",
                help="delete this key; `chat_template_date` sets the date, and the rows set the rest",
            )
    try:
        date.fromisoformat(data.chat_template_date or "2000-01-01")
    except ValueError:
        message = f"there is no date {data.chat_template_date}"
        yield checked.finding(
            "E004", message, ("data", "chat_template_date"), help="write a date of the calendar"
        )
