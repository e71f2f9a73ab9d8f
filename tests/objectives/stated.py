"""What the commands state about an objective, held to enumeration: claims, verdicts of `verify` and of `diff`."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Iterator, Mapping
from typing import Any

from alignc.api import Compiled, built
from alignc.claims import Claim, Outcome, check, claims_of
from alignc.claims.kinds.spec import Prose
from alignc.claims.model import Verdict as Checked
from alignc.claims.render import as_text
from alignc.diagnostics import DiagnosticError
from alignc.diff import Difference, compare
from alignc.verify import Verdict, verify

from .generator import Drawn, draw
from .properties import Case, Property

__all__ = ["STATED", "Undecided", "mirrored", "said_of"]


class Undecided(str):
    """A line of a property that says what it cannot decide; no failure."""

    __slots__ = ()


def claims_hold(case: Case) -> Iterator[str]:
    """No claim of `explain` is refuted by its checker."""
    for part in case.parts:
        for claim in claims_of(part):
            found = check(claim, part)
            if found.outcome is Outcome.REFUTED:
                yield said_of(claim, found)
            elif found.outcome is Outcome.UNDECIDED and not isinstance(claim, Prose):
                yield Undecided(type(claim).__name__)


def said_of(claim: Claim, found: Checked) -> str:
    """Write a claim as users read it, and what its checker found."""
    gap = "" if found.gap is None else f", {found.gap:.1e} apart"
    return f"“{as_text((claim,))}” is refuted ({found.evidence}{gap})"


def refutes_nothing(case: Case) -> Iterator[str]:
    """`verify` refutes nothing: a claim is refuted where theory is wrong, or where `verify` is."""
    for part in case.parts:
        for claim in verify(part.spec, part.loss).claims:
            if claim.verdict is Verdict.REFUTED:
                gap = "" if claim.gap is None else f", {claim.gap:.1e} apart"
                yield f"{claim.about}: “{claim.says}” is refuted ({claim.found}{gap})"
            elif claim.verdict is Verdict.UNDECIDED:
                yield Undecided(claim.about)


def is_symmetric(case: Case) -> Iterator[str]:
    """`diff A B` and `diff B A` give one verdict and inverse factors.

    B is A with one value changed; where that is refused, it is the objective of the next seed.
    """
    if len(case.parts) > 1:
        return
    for drawn in (_changed(case.drawn), draw(case.drawn.seed + 1)):
        other = _compiled(case, drawn)
        if other is None:
            continue
        a, b = ((s.spec, s.loss, s.needs) for s in (case.parts[0], other))
        yield from mirrored(compare(a, b), compare(b, a))
        return


def mirrored(there: Difference, back: Difference) -> Iterator[str]:
    """Compare the two answers about a pair of specs."""
    if there.verdict != back.verdict:
        yield f"`diff` says {there.verdict} one way and {back.verdict} the other"
    elif (there.factor is None) != (back.factor is None) or (
        there.factor and back.factor and not math.isclose(there.factor * back.factor, 1, rel_tol=1e-9)
    ):
        yield f"factors are {there.factor} and {back.factor}"
    elif there.verdict == "undecided":
        yield Undecided("diff")


def _compiled(case: Case, drawn: Drawn) -> Compiled | None:
    path = case.path.with_name("other.yaml")
    path.write_text(drawn.text, encoding="utf-8")
    try:
        found = built(path, files=False)
    except DiagnosticError:
        return None
    return found if isinstance(found, Compiled) else None


def _changed(drawn: Drawn) -> Drawn:
    """Change one number, name or switch of an objective."""
    spec = copy.deepcopy(drawn.spec)
    rng = random.Random(f"changed {drawn.seed}")
    places = [
        (part, key)
        for part, key in _leaves(spec["objective"])
        if key not in ("kind", "name", "preset") and not isinstance(part[key], str)
    ]
    if places:
        part, key = rng.choice(places)
        value = part[key]
        part[key] = not value if isinstance(value, bool) else value * 2 if value is not None else 0.5
    return Drawn(drawn.seed, spec, drawn.seen)


def _leaves(part: Any) -> Iterator[tuple[Any, Any]]:
    places = part.items() if isinstance(part, dict) else enumerate(part)
    for key, value in places:
        if isinstance(value, dict | list):
            yield from _leaves(value)
        else:
            yield part, key


STATED: Mapping[str, Property] = {
    "claims": claims_hold,
    "verify": refutes_nothing,
    "symmetry": is_symmetric,
}
"""Properties of what is stated, by the kind of their failures."""
