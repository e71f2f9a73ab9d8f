"""Explain a loss over several sources: the sum, and each part by itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alignc.claims import Claim
from alignc.claims.model import StepZero
from alignc.explain.latex import fragment
from alignc.explain.model import Explanation, as_json
from alignc.explain.show import show
from alignc.lower.loss import Loss
from alignc.lower.mixture import own_metric
from alignc.printers.mermaid import mermaid
from alignc.spec.job import Job
from alignc.spec.rows import Sources, sampled_source

__all__ = ["Mixed", "mixed", "mixed_data", "mixed_latex", "mixed_mermaid", "mixed_page", "show_mixed"]

DIGITS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


@dataclass(frozen=True)
class Mixed:
    """The explanation of several sources: their sum, and each source by itself."""

    name: str
    formula: str
    batches: str
    sources: Mapping[str, Explanation]


def mixed(job: Job, explained: Mapping[str, Explanation]) -> Mixed:
    """Combine the explanations of the sources of a spec."""
    symbols = [f"L{str(i + 1).translate(DIGITS)}" for i in range(len(explained))]
    own = {
        source: _as_part(e, f"{job.name}, {source}", symbols[i], own_metric(i + 1))
        for i, (source, e) in enumerate(explained.items())
    }
    return Mixed(job.name, f"L = {' + '.join(symbols)}", _batches(job), own)


def _as_part(e: Explanation, name: str, symbol: str, metric: str) -> Explanation:
    """Rename the loss of a part to its symbol in the sum and to its metric in the log."""
    return dataclasses.replace(
        e,
        name=name,
        formula=f"{symbol}{e.formula[1:]}",
        metrics=tuple(metric if m == "loss" else m for m in e.metrics),
        claims=tuple(_renamed(c, metric) for c in e.claims),
    )


def _renamed(claim: Claim, metric: str) -> Claim:
    """Give the loss of a part its name in the log."""
    if isinstance(claim, StepZero) and claim.metric == "loss":
        return dataclasses.replace(claim, metric=metric)
    return claim


def _batches(job: Job) -> str:
    train = job.train
    rows = train.per_device_train_batch_size * train.gradient_accumulation_steps * job.launch.num_processes
    counted = "1 row" if rows == 1 else f"{rows} rows"
    taken = f"each step takes {counted} of each source, in an order of its own"
    sampled = sampled_source(job.data.sources) if isinstance(job.data, Sources) else None
    if sampled is None:
        return f"{taken}; the source with the most rows counts the epochs, and a shorter source starts again"
    return (
        f"{taken}; the rollouts of {sampled} count the steps and epochs, and each other source starts again"
    )


def show_mixed(explained: Mixed) -> str:
    """Format the explanation for a terminal."""
    count = len(explained.sources)
    kinds = f"{count} source{'s' if count > 1 else ''} of rows, one loss"
    head = [f"{explained.name}: {kinds}", "", f"  {explained.formula}", ""]
    head += [f"      {line}" for e in explained.sources.values() for line in (e.formula, *e.losses)]
    return "\n".join([*head, "", f"batches: {explained.batches}", ""]) + "".join(
        f"\n{show(e)}" for e in explained.sources.values()
    )


def mixed_data(explained: Mixed) -> dict[str, Any]:
    """Return the explanation as plain data."""
    own = {name: as_json(e) for name, e in explained.sources.items()}
    return {
        "name": explained.name,
        "formula": explained.formula,
        "batches": explained.batches,
        "sources": own,
    }


def mixed_latex(explained: Mixed, losses: Mapping[str, Loss]) -> str:
    """Write the parts as LaTeX, one after another."""
    terms = " + ".join(f"L_{{{i + 1}}}" for i in range(len(losses)))
    parts = [fragment(e, losses[name]) for name, e in explained.sources.items()]
    return f"\\[ L = {terms} \\]\n" + "\n".join(parts)


def mixed_page(explained: Mixed, losses: Mapping[str, Loss]) -> str:
    """Write one page; each part is the body of its own page."""
    from alignc.explain.html import page  # it loads MathML

    pages = [page(e, losses[name]) for name, e in explained.sources.items()]
    head, _, _ = pages[0].partition("<main>")
    bodies = [p.partition("<main>\n")[2].partition("\n</main>")[0] for p in pages]
    return f"{head}<main>\n" + "\n<hr>\n".join(bodies) + "\n</main>\n</body>\n</html>\n"


def mixed_mermaid(losses: Mapping[str, Loss]) -> str:
    """Draw the parts, one diagram after another."""
    return "\n".join(mermaid(loss) for loss in losses.values())
