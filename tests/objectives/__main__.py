"""Tally seeds: `python -m tests.objectives SEEDS…`, each a number or a range such as `0:2000`; prints JSON.

`--torch` adds the emitted source; `--show SEED` prints the spec of a seed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from .generator import draw
from .properties import EXACT
from .tally import tally


def seeds_of(arguments: list[str]) -> Iterator[int]:
    """Read numbers and ranges."""
    for argument in arguments:
        first, colon, last = argument.partition(":")
        yield from range(int(first), int(last)) if colon else (int(first),)


def main(arguments: list[str]) -> None:
    """Print a spec, or a tally."""
    if arguments[:1] == ["--show"]:
        print(draw(int(arguments[1])).text, end="")
        return
    properties = dict(EXACT)
    if "--torch" in arguments:
        from .tensors import EMITTED

        properties |= EMITTED
    seeds = seeds_of([a for a in arguments if not a.startswith("--")])
    print(json.dumps(tally(seeds, properties), indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main(sys.argv[1:])
