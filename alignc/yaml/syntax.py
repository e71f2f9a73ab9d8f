"""Messages for the syntax errors of the YAML parser."""

from __future__ import annotations

from typing import Any, NamedTuple


class Complaint(NamedTuple):
    """A syntax error: its message, its help and its offset in the text."""

    message: str
    help: str
    offset: int


class _Rule(NamedTuple):
    context: str
    problem: str
    message: str
    help: str
    at_context: bool = False


_CLOSE = "close the text with the same quote"
_BACKSLASH = r"write `\\`, or use single quotes"
_QUOTE = "put quotes around the value"
_RULES = (
    _Rule(
        "",
        "character '\\t'",
        "a tab is used for indentation or at the start of a value",
        "indent with spaces",
    ),
    _Rule("", "that cannot start any token", "this character cannot start a value", _QUOTE),
    _Rule("quoted scalar", "end of stream", "this quote is not closed", _CLOSE, True),
    _Rule(
        "quoted scalar",
        "document separator",
        "this quote is not closed",
        "close the quote before `---`",
        True,
    ),
    _Rule(
        "double-quoted",
        "unknown escape",
        "this escape does not exist in double quotes",
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
        "a block of text cannot start like this",
        "end the line after `|` or `>`, and indent the text below it",
    ),
    _Rule(
        "simple key", "", "this line is not `key: value` and not a list item", "add `:` after the key", True
    ),
    _Rule(
        "",
        "mapping values are not allowed",
        "a `:` is at a place where no key is allowed",
        "put quotes around a value that contains `: `, or check the indentation of this line",
    ),
    _Rule("", "sequence entries", "a list item cannot start here", "put `-` on its own line below the key"),
    _Rule("", "mapping keys", "a key cannot start here", _QUOTE),
    _Rule(
        "block",
        "expected <block end>",
        "this line does not fit the lines above it",
        "give the keys of one level the same indentation; put the whole value in quotes if it continues after a quote",
    ),
    _Rule(
        "",
        "<document start>",
        "this line does not belong to the lines above it",
        "write the document as one mapping: its keys start in the first column, and a `:` follows each key",
    ),
    _Rule("", "YAML directive", "a directive is not allowed twice", "delete this line"),
    _Rule(
        "", "document end marker", "there is text after the end of the document (`...`)", "delete this text"
    ),
)
_OTHERWISE = _Rule("", "", "this is not YAML", "put quotes around a value with special characters")


def explain_syntax(error: Any) -> Complaint:
    """Return message, help and offset for a MarkedYAMLError of ruamel.yaml."""
    rule = next((rule for rule in _RULES if _fits(rule, error)), _OTHERWISE)
    marks = [error.problem_mark, error.context_mark]
    if rule.at_context:
        marks.reverse()
    offset = next((mark.index for mark in marks if mark is not None), 0)
    return Complaint(rule.message, rule.help, offset)


def _fits(rule: _Rule, error: Any) -> bool:
    return rule.context in (error.context or "") and rule.problem in (error.problem or "")


__all__ = ["Complaint", "explain_syntax"]
