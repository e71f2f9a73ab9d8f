"""What docs/soundness.md shows under each name is what the commands print."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from alignc.cli.main import main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/soundness.md").read_text("utf-8")
LEFT_OUT = "…"


def examples(page: str) -> Iterator[tuple[str, list[str]]]:
    """List each command with the lines shown below it."""
    for block in re.findall(r"^```console\n(.*?)^```$", page, re.S | re.M):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, *lines = part.rstrip("\n").split("\n")
            yield command, [line.rstrip() for line in lines]


def missing(lines: list[str], output: list[str]) -> list[str]:
    """List the lines that are not in the output, in their order; lines without `…` between them are neighbours."""
    place, free, lost = 0, False, []
    for line in lines:
        if line == LEFT_OUT:
            free = True
            continue
        found = next((i for i in range(place, len(output)) if output[i] == line), None)
        if found is None or (found != place and not free):
            lost.append(line)
        place, free = (place if found is None else found + 1), False
    return lost


@pytest.mark.parametrize(
    ("command", "lines"), list(examples(PAGE)), ids=lambda v: v if isinstance(v, str) else ""
)
def test_the_page_shows_what_is_printed(
    command: str, lines: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.setattr(sys, "argv", shlex.split(command))
    with pytest.raises(SystemExit):
        main()
    printed = capsys.readouterr()
    output = [line.rstrip() for line in (printed.out + printed.err).splitlines() if line.strip()]
    assert any(line != LEFT_OUT for line in lines)
    assert missing(lines, output) == []


def test_a_line_that_is_not_printed_is_found() -> None:
    output = ["a", "b", "c"]
    assert missing(["a", LEFT_OUT, "c"], output) == []
    assert missing(["a", "c"], output) == ["c"]
    assert missing([LEFT_OUT, "c", LEFT_OUT, "a"], output) == ["a"]
