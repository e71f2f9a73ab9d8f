"""What must hold of every objective: one function each, over a spec of the generator.

A property yields one line for each failure. `EXACT` needs no torch; a further property is a line of a table.
"""

from __future__ import annotations

import ast
import math
import random
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert

from alignc.api import Compiled, Mixture, built, validate
from alignc.claims import check
from alignc.claims.render import as_text
from alignc.diagnostics import Diagnostic, DiagnosticError
from alignc.diff import compare
from alignc.explain.latex import formulas
from alignc.explain.mixture import show_mixed
from alignc.explain.show import show
from alignc.graph.evaluate import evaluate
from alignc.graph.gradient import gradient
from alignc.graph.nodes import Column, Logp, Matched, Node, Output, Running, Stop
from alignc.graph.rewrite import inputs, substitute
from alignc.graph.walk import walk
from alignc.lower.loss import alone

from ..batches import given, numbers
from .generator import Drawn, draw

__all__ = ["EXACT", "Case", "Failure", "Outcome", "Property", "examine"]

STEP = 1e-5
ROUNDING = 1e-15 / STEP


@dataclass(frozen=True)
class Failure:
    """A property that does not hold of a spec."""

    kind: str
    what: str


@dataclass(frozen=True)
class Case:
    """A sound spec, its file, and its compiled parts: one, or one for each source."""

    drawn: Drawn
    path: Path
    whole: Compiled | Mixture
    parts: tuple[Compiled, ...]


Property = Callable[[Case], Iterator[str]]


@dataclass(frozen=True)
class Outcome:
    """What became of a seed: the codes of its errors, or none, and its failures."""

    seed: int
    codes: tuple[str, ...]
    failures: tuple[Failure, ...]

    @property
    def sound(self) -> bool:
        """Whether the commands accept the spec."""
        return not self.codes and not any(f.kind in ("crash", "disagreement") for f in self.failures)


def examine(seed: int, folder: Path, properties: Mapping[str, Property]) -> Outcome:
    """Write the spec of a seed, ask all commands, and hold the properties where it is sound."""
    drawn = draw(seed)
    path = folder / "spec.yaml"
    path.write_text(drawn.text, encoding="utf-8")
    report, crashed = _tried(lambda: validate(path))
    if crashed:
        return Outcome(seed, (), (Failure("crash", f"validate: {crashed}"),))
    found, crashed = _tried(lambda: _built(path))
    if crashed:
        return Outcome(seed, (), (Failure("crash", f"explain: {crashed}"),))
    said = _errors(report.diagnostics)
    refused = _errors(found.diagnostics) if isinstance(found, DiagnosticError) else ()
    if said != refused:
        return Outcome(seed, (), (Failure("disagreement", f"validate says {said}, explain says {refused}"),))
    if isinstance(found, DiagnosticError):
        return Outcome(seed, tuple(code for code, *_ in said), ())
    case = Case(drawn, path, found, _parts(found))
    return Outcome(seed, (), tuple(_failures(case, properties)))


def _built(path: Path) -> Compiled | Mixture | DiagnosticError:
    try:
        return built(path, files=False)
    except DiagnosticError as error:
        return error


def _parts(whole: Compiled | Mixture) -> tuple[Compiled, ...]:
    if isinstance(whole, Compiled):
        return (whole,)
    return tuple(Compiled(p.spec, p.loss, p.needs, p.explanation, ()) for p in whole.parts.values())


def _errors(found: tuple[Diagnostic, ...] | list[Diagnostic]) -> tuple[tuple[Any, ...], ...]:
    """List what is refused, and where; a finding that is said of two sources is one."""
    errors = {(d.code, d.span.line, d.span.column) for d in found if d.severity == "error"}
    return tuple(sorted(errors))


def _failures(case: Case, properties: Mapping[str, Property]) -> Iterator[Failure]:
    for kind, held in properties.items():
        broken, crashed = _tried(lambda held=held: list(held(case)))
        if crashed:
            yield Failure("crash", f"{kind}: {crashed}")
        else:
            yield from (Failure(kind, line) for line in broken)


def _tried(action: Callable[[], Any]) -> tuple[Any, str]:
    """Return a result and "", or None and the last line of what was raised with its place."""
    try:
        return action(), ""
    except Exception as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "alignc" in f.filename]
        place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
        return None, f"{type(error).__name__}: {str(error)[:160]} ({place})"


# ---- what is printed ------------------------------------------------------------------------------------------


def explains(case: Case) -> Iterator[str]:
    """The explanation prints, and says a gradient."""
    whole = case.whole
    text = show_mixed(whole.explanation) if isinstance(whole, Mixture) else show(whole.explanation)
    if "gradient" not in text:
        yield "no gradient is printed"


def formulas_parse(case: Case) -> Iterator[str]:
    """Every formula of LaTeX is one that another parser reads."""
    for part in case.parts:
        shown = formulas(part.loss)
        texts = [shown.loss, *shown.losses, *(t for pair in shown.where for t in pair), *shown.gradient]
        for text in texts:
            if "<merror" in convert(text) or text.count("{") != text.count("}"):
                yield f"LaTeX does not parse: {text[:120]}"


def compiles(case: Case) -> Iterator[str]:
    """The folder is emitted, and its Python is Python."""
    files = case.whole.folder().files
    for name, text in files.items():
        if name.endswith(".py"):
            ast.parse(text)
    if "loss.py" not in files:
        yield "no loss.py is emitted"


def is_itself(case: Case) -> Iterator[str]:
    """`diff A A` is equal."""
    for part in case.parts:
        side = (part.spec, part.loss, part.needs)
        verdict = compare(side, side).verdict
        if verdict != "equal":
            yield f"`diff` of a spec with itself says {verdict}"


# ---- the gradient ---------------------------------------------------------------------------------------------


def differences(case: Case) -> Iterator[str]:
    """The derived gradient is that of central differences, on three rows of uneven groups."""
    for part in case.parts:
        yield from _differences(part, random.Random(case.drawn.seed))


def _differences(part: Compiled, rng: random.Random) -> Iterator[str]:
    root, freed = _held(alone(part.loss.root))
    known = dict(given(numbers(rng, part, rows=1), [alone(part.loss.root)]))
    known |= {new: evaluate(old, known) for old, new in freed.items()}
    known = {n: v if isinstance(v, list) else [v] for n, v in known.items()}
    if not math.isfinite(_at(evaluate(root, known), (0,))):
        return
    for node in [n for n in inputs(root) if isinstance(n, Logp | Output) and n.type.trained]:
        slopes = evaluate(gradient(root, node), known)
        for place in rng.sample(every := _places(known[node]), min(2, len(every))):
            slope = _at(slopes, place)
            tries = [_slope(root, known, node, place, step) for step in (STEP, STEP / 50, STEP * 20)]
            doubt = abs(_at(evaluate(root, known), (0,))) * ROUNDING
            if not any(_agree(slope, found, doubt) for found in tries):
                yield f"the gradient is {slope:.9g}, central differences are {tries[0]:.9g}"


def _agree(slope: float, found: float, doubt: float) -> bool:
    """Compare a slope with one of differences; both may be infinite, and a kink may lie between the two points.

    `doubt` is what the rounding of a large loss makes of its differences.
    """
    if not math.isfinite(slope) or not math.isfinite(found):
        return not math.isnan(slope)
    return math.isclose(slope, found, rel_tol=1e-4, abs_tol=1e-5 + doubt)


def _slope(root: Node, known: Mapping[Node, Any], node: Node, place: tuple[int, ...], step: float) -> float:
    ends = [
        _at(evaluate(root, {**known, node: _moved(known[node], place, by)}), (0,)) for by in (step, -step)
    ]
    return (ends[0] - ends[1]) / (2 * step)


def _held(root: Node) -> tuple[Node, dict[Node, Node]]:
    """Replace what no gradient passes by inputs of their own, and say which."""
    stops = [n for n in walk(root) if isinstance(n, Stop | Running | Matched)]
    freed: dict[Node, Node] = {n: Column(f"held{i}", None, n.type.unit) for i, n in enumerate(stops)}
    return substitute(root, freed), freed


def _moved(value: Any, place: tuple[int, ...], by: float) -> Any:
    if not place:
        return value + by
    return [_moved(v, place[1:], by) if i == place[0] else v for i, v in enumerate(value)]


def _places(value: Any, path: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    if not isinstance(value, list):
        return [path]
    return [p for i, v in enumerate(value) for p in _places(v, (*path, i))]


def _at(value: Any, place: tuple[int, ...]) -> float:
    for step in place:
        value = value[step] if isinstance(value, list) else value
    return float(value[0] if isinstance(value, list) else value)


# ---- what is claimed -------------------------------------------------------------------------------------------


def claims_hold(case: Case) -> Iterator[str]:
    """No claim of the explanation is refuted by numbers."""
    for part in case.parts:
        for claim in part.explanation.claims:
            found = check(claim, part)
            if found.refuted:
                yield f"{as_text((claim,))}: {found.evidence}"


EXACT: Mapping[str, Property] = {
    "explain": explains,
    "latex": formulas_parse,
    "compile": compiles,
    "diff": is_itself,
    "gradient": differences,
    "claims": claims_hold,
}
"""The properties that need no torch, by the kind of their failures."""
