import re
from pathlib import Path

import pytest

from alignc.diagnostics import CODES
from alignc.diagnostics.document import entry, reference

PAGE = Path(__file__).parents[2] / "docs" / "diagnostics.md"


def test_the_page_is_fresh():
    assert PAGE.read_text(encoding="utf-8") == reference(), (
        "run python -m alignc.diagnostics.document > docs/diagnostics.md"
    )


def test_every_code_has_one_heading_in_order():
    headings = re.findall(r"^### (\w+)$", reference(), re.M)
    assert sorted(headings) == sorted(CODES)
    assert [heading[1:] for heading in headings] == sorted(code[1:] for code in CODES)


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_every_entry_is_whole(code):
    text = entry(code)
    assert text.startswith(f"\n### {code.code}\n")
    assert code.example in text
    assert code.help in text
    assert ("\nThis code cannot be waived.\n" in text) is not code.waivable
    assert text.count("```") == 2
