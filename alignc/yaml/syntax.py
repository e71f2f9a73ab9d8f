"""What a parser's complaint means to the person who wrote the line."""

from __future__ import annotations

from typing import Any, NamedTuple


class Complaint(NamedTuple):
    """A syntax error in our words, at an offset of the text."""

    message: str
    help: str
    offset: int


class _Rule(NamedTuple):
    context: str
    problem: str
    message: str
    help: str
    at_context: bool = False


_CLOSE = "close it with the same quote"
_BACKSLASH = r"write `\\`, or use single quotes"
_QUOTE = "put quotes around the value"
_RULES = (
    _Rule("", "character '\\t'", "a tab stands where indentation or a value should", "indent with spaces"),
    _Rule("", "that cannot start any token", "this character cannot start a value", _QUOTE),
    _Rule("quoted scalar", "end of stream", "this quote is never closed", _CLOSE, True),
    _Rule("quoted scalar", "document separator", "this quote is never closed", "close it before `---`", True),
    _Rule(
        "double-quoted",
        "unknown escape",
        "no such escape in double quotes",
        r"write `\\`, or use single quotes",
    ),
    _Rule(
        "double-quoted",
        "",
        "this escape in double quotes is not complete",
        r"write `\\`, or use single quotes",
    ),
    _Rule(
        "flow sequence",
        "",
        "this `[` is not closed",
        "add `]`, or the missing comma",
        True,
    ),
    _Rule(
        "flow mapping",
        "",
        "this `{` is not closed",
        "add `}`, or the missing comma",
        True,
    ),
    _Rule(
        "flow node",
        "",
        "a value is missing here",
        "delete the extra comma, write the value, or put quotes around it",
    ),
    _Rule("anchor", "", "`&` must be followed by a name", _QUOTE + "; a spec has no anchors", True),
    _Rule("alias", "", "`*` must be followed by a name", _QUOTE + "; a spec has no aliases", True),
    _Rule(
        "block scalar",
        "",
        "this is no way to open a block of text",
        "end the line after `|` or `>`, and indent the text below it",
    ),
    _Rule(
        "simple key", "", "this line is neither `key: value` nor a list item", "add `:` after the key", True
    ),
    _Rule(
        "",
        "mapping values are not allowed",
        "a `:` stands where no key can",
        "put quotes around a value that holds `: `; otherwise check the indentation of this line",
    ),
    _Rule("", "sequence entries", "a list item cannot start here", "put `-` on its own line below the key"),
    _Rule("", "mapping keys", "a key cannot start here", _QUOTE),
    _Rule(
        "block",
        "expected <block end>",
        "this line does not fit the lines above it",
        "give keys of one level the same indentation, and quote a value that goes on after its closing quote",
    ),
    _Rule(
        "",
        "<document start>",
        "this line does not belong to what stands above it",
        "the document is one mapping: start its keys in the first column, each with `:`",
    ),
    _Rule("", "YAML directive", "a directive is not allowed twice", "delete this line"),
    _Rule("", "document end marker", "text stands after the end of the document (`...`)", "delete it"),
)
_OTHERWISE = _Rule("", "", "this is not YAML", "put quotes around a value that holds special characters")


def explain_syntax(error: Any) -> Complaint:
    """Put a ruamel.yaml MarkedYAMLError into words and say where to look."""
    rule = next((rule for rule in _RULES if _fits(rule, error)), _OTHERWISE)
    marks = [error.problem_mark, error.context_mark]
    if rule.at_context:
        marks.reverse()
    offset = next((mark.index for mark in marks if mark is not None), 0)
    return Complaint(rule.message, rule.help, offset)


def _fits(rule: _Rule, error: Any) -> bool:
    return rule.context in (error.context or "") and rule.problem in (error.problem or "")


__all__ = ["Complaint", "explain_syntax"]
