"""What the README shows is what the commands print."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from alignc.api import explain
from alignc.cli.main import COMMANDS
from alignc.explain.show import show

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = sorted(
    str(page.relative_to(ROOT)) for folder in (ROOT, ROOT / "docs") for page in folder.glob("*.md")
)


def test_the_explanation_is_real() -> None:
    shown = README.split("$ alignc explain examples/dpo.yaml\n")[1].split("```")[0].splitlines()
    printed = iter(show(explain(ROOT / "examples" / "dpo.yaml")).splitlines())
    assert [line for line in shown if line != "…" and line not in printed] == []


def test_the_spec_is_an_excerpt() -> None:
    block = README.split("# examples/dpo.yaml\n")[1].split("```")[0].splitlines()
    assert set(block) <= set((ROOT / "examples" / "dpo.yaml").read_text("utf-8").splitlines())


def test_every_command_is_listed() -> None:
    assert set(re.findall(r"^\| `alignc (\w+)", README, re.M)) == set(COMMANDS)


@pytest.mark.parametrize("page", PAGES)
def test_links_and_folders_are_there(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if not link.startswith("http")]
    folders = re.findall(r"\*\*`(alignc/\w+)`", text)
    assert [name for name in links if not ((ROOT / page).parent / name).exists()] == []
    assert [name for name in folders if not (ROOT / name).is_dir()] == []
