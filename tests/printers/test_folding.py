"""Long lines are broken where the fewest brackets are open."""

from __future__ import annotations

import random

from alignc.printers.folding import WIDTH, folded


def test_a_short_line_is_left_alone() -> None:
    assert folded("a + b", "# ") == ["# a + b"]
    assert folded("", "# ") == ["#"]


def test_a_formula_is_broken_before_a_sign_outside_of_brackets() -> None:
    inner = "a·(" + " + ".join("b" * 5 for _ in range(8)) + ")"
    assert folded(f"L = {inner} − {inner} − c", "    ", "        ") == [
        f"    L = {inner}",
        f"        − {inner} − c",
    ]


def test_all_is_kept_and_fits() -> None:
    rng = random.Random(4)
    for _ in range(200):
        words = ["".join(rng.choice("ab(c)[d]·") for _ in range(rng.randint(1, 30))) for _ in range(40)]
        text = " ".join(words)
        lines = folded(text, "  # ", "  #     ")
        assert max(map(len, lines)) <= WIDTH
        assert " ".join([lines[0][4:], *(line[8:] for line in lines[1:])]) == text


def test_a_word_that_is_too_long_is_cut() -> None:
    lines = folded("x" * 250, "# ")
    assert max(map(len, lines)) == WIDTH
    assert "".join(line[2:] for line in lines) == "x" * 250
