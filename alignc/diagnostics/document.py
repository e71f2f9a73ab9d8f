"""The reference page of the codes, as text: `python -m alignc.diagnostics.document > docs/diagnostics.md`."""

from __future__ import annotations

from alignc.diagnostics.codes import CODES, GROUPS, Code

_HEAD = """\
# Diagnostics

This page lists each finding of `alignc` by its code. `alignc rule CODE` prints one entry.
A code that begins with E is an error, and a code that begins with W is a warning.

A comment can waive a code. The comment `# alignc: ignore[CODE] reason` waives the code for the line at whose end
it stands. If the comment stands alone on a line, it waives the code for the line below it.
The comment `# alignc: ignore-file[CODE] reason` above the first key waives the code in the whole file.
Warnings can be waived. Errors of soundness and sign (E2xx, E3xx, E5xx) can be waived too.

<!-- Generated from alignc/diagnostics/catalogue; a test holds this page to it. -->
"""


def reference() -> str:
    """Return the Markdown text of docs/diagnostics.md."""
    return _HEAD + "".join(_group(digit, title) for digit, title in GROUPS.items())


def entry(code: Code) -> str:
    """Return one code's section."""
    fence = "json" if code.example.startswith("{") else "yaml"
    waiver = "" if code.waivable else "\nThis code cannot be waived.\n"
    return (
        f"\n### {code.code}\n\n**{_sentence(code.title)}**\n\n{_sentence(code.why)}\n\n"
        f"What to do: {code.help}.\n{waiver}\n```{fence}\n{code.example}\n```\n"
    )


def _group(digit: str, title: str) -> str:
    codes = sorted((code for code in CODES.values() if code.code[1] == digit), key=lambda code: code.code[1:])
    return f"\n## {title}\n" + "".join(map(entry, codes))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


if __name__ == "__main__":
    print(reference(), end="")

__all__ = ["entry", "reference"]
