"""Every preset at twenty settings of its parameters: what `verify` says of each.

`python -m tests.verify.settings FILE` tries all, and writes a tally. The ends of every range come first, one parameter
at a time; random settings follow until there are twenty that the checks let pass.
"""

from __future__ import annotations

import json
import math
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from alignc.api import lowered
from alignc.diagnostics import DiagnosticError
from alignc.load.preset import Parameter, built_in, preset_names
from alignc.verify import Verdict, Verified, verify

__all__ = ["COUNT", "Tried", "main", "settings_of", "tally", "tried"]

COUNT = 20
WIDE = 1000.0
"""By how much a number without a bound is made larger and smaller than its default."""
JUDGE = {"kind": "verifier", "name": "length", "limit": 5}
SOURCES: dict[str, dict[str, Any]] = {
    "prompts": {"reward": JUDGE},
    "self_play": {"oracle": {"kind": "bradley_terry", "reward": JUDGE}},
}
KLS: tuple[dict[str, Any] | None, ...] = (
    None,
    {"estimator": "k1", "placement": "reward", "beta": 1e-3},
    {"estimator": "k1", "placement": "reward", "beta": 10.0, "granularity": "sequence"},
    {"estimator": "k2", "placement": "loss", "beta": 0.3, "granularity": "sequence"},
    {"estimator": "k3", "placement": "loss", "beta": 5.0, "granularity": "token"},
    {"estimator": "k3", "placement": "ratio", "beta": 0.04, "granularity": "token"},
)
PARTITIONS: tuple[float, ...] = (0.0, 0.3, 0.5, 0.9, 1.0)


@dataclass(frozen=True)
class Tried:
    """A setting, what was said of it, and the seconds of CPU that this took."""

    preset: str
    kind: str
    given: dict[str, Any]
    refuted: tuple[str, ...]
    undecided: tuple[str, ...]
    held: int
    seconds: float


def ends(name: str, parameter: Parameter) -> list[Any]:
    """List the ends of a parameter's range, and its choices."""
    match parameter.type:
        case "boolean":
            return [True, False]
        case "choice":
            return list(parameter.choices)
        case "axis":
            return list(PARTITIONS if name == "partition" else KLS if name == "kl" else ())
        case "integer":
            low = int(parameter.ge or (parameter.gt or 0) + 1)
            return [low, low + 1, int(parameter.le or low + 6)]
        case _:
            return _numbers(parameter)


def _numbers(parameter: Parameter) -> list[float]:
    default = float(parameter.default or 0.0)  # type: ignore[arg-type]
    size = abs(default) or 1.0
    low = parameter.ge if parameter.ge is not None else parameter.gt
    high = parameter.le if parameter.le is not None else parameter.lt
    small = size / WIDE if low == 0 else -size * WIDE if low is None else low + size / WIDE
    large = size * WIDE if high is None else high - 1e-3 * abs(high) if parameter.lt is not None else high
    found = [small, large, size / 30, size * 30]
    if parameter.ge is not None:
        found.append(parameter.ge)
    return [v for v in found if _within(v, parameter)]


def _within(value: float, parameter: Parameter) -> bool:
    above = parameter.gt is None or value > parameter.gt
    below = parameter.lt is None or value < parameter.lt
    return above and below and (parameter.le is None or value <= parameter.le)


def drawn(name: str, parameter: Parameter, rng: random.Random) -> Any:
    """Draw a value of a parameter: a number between the ends, evenly on the logarithm where both are above 0."""
    choices = ends(name, parameter)
    if parameter.type != "number" or not choices:
        return rng.choice(choices) if choices else parameter.default
    low, high = min(choices), max(choices)
    return math.exp(rng.uniform(math.log(low), math.log(high))) if low > 0 else rng.uniform(low, high)


def settings_of(preset: str, seed: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give kinds of data and parameters without end: the defaults, every end, then random ones."""
    known = built_in(preset)
    kinds, rng = list(known.data), random.Random(f"{preset} {seed}")
    if "prompts" in kinds:
        kinds.append("self_play")
    for kind in kinds:
        yield kind, {}
    for name, parameter in known.parameters.items():
        for value in ends(name, parameter):
            yield rng.choice(kinds), {name: value}
    while True:
        yield (
            rng.choice(kinds),
            {n: drawn(n, p, rng) for n, p in known.parameters.items() if rng.random() < 0.7},
        )


def verified(preset: str, kind: str, given: dict[str, Any]) -> Verified | None:
    """Run `verify` on a preset at a setting; None where the checks refuse it."""
    k = (
        {"completions_per_prompt": random.Random(str(given)).choice([2, 3, 4, 8])}
        if kind == "prompts"
        else {}
    )
    data = (
        {"kind": kind, "source": "x/y", "max_new_tokens": 8, **k}
        if kind in SOURCES
        else {"kind": kind, "source": "x/y"}
    )
    spec = {
        "objective": {"preset": preset, **given},
        "model": {"policy": "x/y"},
        "data": {**data, **SOURCES.get(kind, {})},
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spec.yaml"
        path.write_text(json.dumps(spec), "utf-8")
        try:
            compiled = lowered(path, files=False)
        except DiagnosticError:
            return None
        return verify(compiled.spec, compiled.loss)


def tried(preset: str, count: int = COUNT, seed: int = 0) -> Iterator[Tried]:
    """Verify a preset at its first settings that the checks let pass."""
    done, seen = 0, set()
    for attempt, (kind, given) in enumerate(settings_of(preset, seed)):
        key = json.dumps([kind, given])
        if done == count or attempt > 12 * count:
            return
        if key in seen:
            continue
        seen.add(key)
        start = time.process_time()
        found = verified(preset, kind, given)
        if found is None:
            continue
        done += 1
        refuted, undecided = (_written(found, v) for v in (Verdict.REFUTED, Verdict.UNDECIDED))
        held = len(found.of(Verdict.HOLDS))
        yield Tried(preset, kind, given, refuted, undecided, held, time.process_time() - start)


def _written(found: Verified, verdict: Verdict) -> tuple[str, ...]:
    return tuple(f"{c.about}: {c.says}: {c.found}" for c in found.of(verdict))


def tally(found: list[Tried]) -> dict[str, Any]:
    """Count what was found, for a page."""
    return {
        "settings": len(found),
        "presets": len({t.preset for t in found}),
        "held": sum(t.held for t in found),
        "refuted": [asdict(t) for t in found if t.refuted],
        "undecided": [asdict(t) for t in found if t.undecided],
        "slowest": {
            p: max(t.seconds for t in found if t.preset == p) for p in Counter(t.preset for t in found)
        },
    }


def main(arguments: list[str]) -> int:
    """Try every preset, or those named, and write the tally."""
    names = arguments[1:] or preset_names()
    found = []
    for name in names:
        mine = list(tried(name))
        found += mine
        bad, open_ones = (
            sum(bool(w) for w in ws) for ws in ([t.refuted for t in mine], [t.undecided for t in mine])
        )
        slowest = max((t.seconds for t in mine), default=0.0)
        print(
            f"{name}: {len(mine)} settings, {bad} refuted, {open_ones} undecided, {slowest:.1f} s", flush=True
        )
        for one in mine:
            for words in one.refuted:
                print(f"  refuted: {one.kind} {one.given}: {words}", flush=True)
    Path(arguments[0]).write_text(json.dumps(tally(found), indent=1, ensure_ascii=False) + "\n", "utf-8")
    return int(any(t.refuted for t in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
