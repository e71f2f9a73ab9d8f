"""Show a comparison as plain text, or as JSON."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from collections.abc import Iterable, Iterator

from alignc.diff.model import Conditional, Difference
from alignc.printers.dialect import number

__all__ = ["show", "to_json"]

WIDTH, LABEL = 110, 12
WORDS = {
    "equal": "the losses are equal",
    "equal_up_to_factor": "the losses are equal up to a factor",
    "equal_gradient": "the gradients of each row are equal up to a factor",
    "equal_in_expectation": "the gradients are equal in expectation, up to a factor",
    "undecided": "neither a proof nor a point where the losses part was found",
    "different": "the losses are different",
}


def to_json(found: Difference) -> str:
    """Write a comparison as JSON."""
    return json.dumps(dataclasses.asdict(found), indent=2, ensure_ascii=False) + "\n"


def show(found: Difference, a: str, b: str) -> str:
    """Lay a comparison out for a terminal: the verdict first, then what proves it, then what changes."""
    return "\n".join(line.rstrip() for line in _lines(found, a, b)) + "\n"


def _lines(found: Difference, a: str, b: str) -> Iterator[str]:
    yield f"A {a}"
    yield f"B {b}"
    yield ""
    yield f"{found.verdict}: {_verdict(found)}"
    yield from _section("conditions", found.conditions)
    yield from _section("proof", found.trace)
    yield from _section("point", _witness(found))
    yield from _section("where", (_conditional(c) for c in found.conditional))
    yield from _section("strictness", _strictness(found))
    yield from _section("tolerance", (found.tolerance,))
    yield from _section("changes", (c.words for c in found.changes))


def _verdict(found: Difference | Conditional) -> str:
    return WORDS[found.verdict] + _factor(found)


def _factor(found: Difference | Conditional) -> str:
    if found.formula is None and (found.factor is None or (found.factor == 1 and found.constant is None)):
        return ""
    rest = f" + {found.constant}" if found.constant else ""
    what = "∇A = {}·∇B" if found.verdict in ("equal_gradient", "equal_in_expectation") else "A = {}·B" + rest
    size = f", for groups of k responses {what.format(found.formula)}" if found.formula else ""
    if found.factor is None:
        return ": " + what.format(found.formula)
    return ": " + what.format(number(float(f"{found.factor:.9g}"))) + size


def _conditional(found: Conditional) -> str:
    return f"{' and '.join(found.conditions)}: {_verdict(found)}"


def _witness(found: Difference) -> list[str]:
    if found.witness is None:
        return []
    lines = [found.witness.words]
    for name, side in (("A", found.witness.a), ("B", found.witness.b)):
        lines.append(
            f"{name} at {json.dumps(side['point'])}: loss {side['loss']}, gradient {json.dumps(side['gradient'])}"
        )
    return lines


def _strictness(found: Difference) -> list[str]:
    strict = found.strictness
    if strict is None:
        return []
    formulas = [f"{name} says: {f}" for name, f in (("A", strict.a), ("B", strict.b)) if f]
    return [strict.words, *formulas, *strict.points]


def _section(label: str, lines: Iterable[str]) -> Iterator[str]:
    head = label
    for line in lines:
        for part in textwrap.wrap(line, WIDTH - LABEL, subsequent_indent="  ", break_long_words=False) or [
            ""
        ]:
            yield f"{head:<{LABEL}} {part}"
            head = ""
