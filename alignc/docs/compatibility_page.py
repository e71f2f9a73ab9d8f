"""docs/compatibility.md: the versions that alignc runs with, from the record of `benchmarks/compatibility.py`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

from alignc.contract.versions import EXTRAS, PACKAGES
from alignc.docs.markdown import GENERATED, code, table

__all__ = ["compatibility_page", "record"]

HEAD = """
# Versions

alignc takes each package in a range. `alignc doctor` compares the installed versions with these ranges. A job refuses
a version that is known to compute wrong numbers. The column *tests* has the version of `constraints.txt`, with which
`make test` runs. The columns *oldest* and *newest* have the versions of the runs below.

"""
RUNS = """
## Runs at both ends

`benchmarks/compatibility.py` makes an environment with the oldest version of every package, and one with the newest.
It installs alignc there as a user does. It runs three short jobs and the core of the runtime's tests in each.
`loss` and `grad_norm` are those of the last step.

"""
BELOW = """
## Versions below the ranges

Each of these versions was tried by hand.

"""
EXTRA = """
## Extras

`pip install 'alignc[NAME]'` installs alignc with an extra. The extra `all` brings all of them.

"""
MEANS = {
    "quant": "`train.optim: adamw_bnb_8bit` keeps the optimizer's state in 8 bits, with bitsandbytes. "
    "Its tests run on a CPU.",
    "vllm": "`data.sampler: vllm` samples responses with vLLM, on a GPU. It was never run with alignc. "
    "vLLM 0.31 and 0.32 need torch 2.13.0 exactly, and transformers below 5.18 and 5.20. "
    "So this extra does not go with `constraints.txt`.",
    "wandb": "`train.report_to: [wandb]` sends the metrics of a run to Weights & Biases. "
    "An SFT job ran with 0.19.0 and with 0.31.0, both with `WANDB_MODE=offline`.",
}


def record() -> dict[str, Any]:
    """Read what `benchmarks/compatibility.py` found."""
    found: dict[str, Any] = json.loads(
        (resources.files("alignc.docs") / "compatibility.json").read_text("utf-8")
    )
    return found


def compatibility_page(found: Mapping[str, Any]) -> str:
    """Write the page from a record."""
    runs = found["runs"]
    ranges = table(
        ("package", "range", "tests", *runs), [[code(name), *_versions(name, runs)] for name in PACKAGES]
    )
    checks = table(
        ("end", "date", "check", "result", "loss", "grad_norm"),
        [row for end in runs for row in _checks(end, runs[end])],
    )
    below = table(
        ("package", "version", "works", "what happens"),
        [
            [code(row["package"]), row["version"], "no" if row["fails"] else "yes", row["outcome"]]
            for row in found["below"]
        ],
    )
    extras = table(
        ("extra", "range", "use"), [[code(name), code(p.span), MEANS[name]] for name, p in EXTRAS.items()]
    )
    machine = "".join(
        f"\nThe {end} environment ran Python {run['python']} on {run['cores']} CPU cores, without a GPU.\n"
        for end, run in runs.items()
    )
    return "".join((GENERATED, HEAD, ranges, RUNS, checks, machine, BELOW, below, EXTRA, extras))


def _versions(name: str, runs: Mapping[str, Any]) -> list[str]:
    package = PACKAGES[name]
    return [code(package.span), package.tested, *(run["versions"][name] for run in runs.values())]


def _checks(end: str, run: Mapping[str, Any]) -> Iterator[list[str]]:
    for row in run["checks"]:
        result = row.get("outcome") or ("passed" if row["ok"] else "failed")
        numbers = [f"{row[name]:.6g}" if name in row else "" for name in ("loss", "grad_norm")]
        yield [end, run["date"], row["check"], result, *numbers]
