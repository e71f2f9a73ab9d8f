"""The plan as text."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator

from alignc.plan.build import Forwards, ResourcePlan, Size
from alignc.plan.memory import Item

__all__ = ["gib", "short", "show"]

MARKS = {
    "exact": "",
    "formula": "",
    "estimate": " ~",
    "bound": " ≤",
    "assumed": " *",
    "unknown": " ?",
}


def show(plan: ResourcePlan) -> str:
    """Format a plan; `~` marks an estimate, `≤` a bound, and `?` an unknown number."""
    parts = (_models(plan), _steps(plan), _rollouts(plan), _memory(plan), _work(plan), _launch(plan))
    return "\n\n".join(text for part in parts if (text := "\n".join(part))) + "\n"


def _line(label: str, text: str) -> str:
    return f"{label:<12} {text}"


def _each(plan: ResourcePlan, label: str, text: Callable[[ResourcePlan], str]) -> Iterator[str]:
    """Yield a line about the rows, or one line for each of several sources with its name."""
    if not plan.sources:
        yield _line(label, text(plan))
    for place, (name, own) in enumerate(plan.sources.items()):
        yield _line("" if place else label, f"{name}: {text(own)}")


def _models(plan: ResourcePlan) -> Iterator[str]:
    yield (
        f"{plan.name}: {plan.processes} × {plan.engine}"
        if plan.processes > 1
        else f"{plan.name}: {plan.engine}"
    )
    for size in plan.sizes:
        yield _line(size.role, _size(size))
    yield from _each(plan, "forwards", lambda own: ", ".join(map(_forward, own.forwards)))
    for text in plan.cached:
        yield _line("cached", text)
    for place, text in enumerate(plan.generation):
        yield _line("" if place else "generation", text)


def _size(size: Size) -> str:
    if size.parameters is None:
        return f"{size.source}: {size.note}; give the size with --parameters 0.5B"
    trained = "" if size.trained == size.parameters else f", {short(size.trained or 0)} of them trained"
    note = f" ({size.note})" if size.note else ""
    return (
        f"{size.parameters:,} parameters{trained}, {gib(size.bytes or 0)}, {size.sure}: {size.source}{note}"
    )


def _forward(forwards: Forwards) -> str:
    back = f", {forwards.backward} with a backward" if forwards.backward else ""
    once = ", only once" if forwards.cached else ""
    return f"{forwards.role} {forwards.forwards} per row{back}{once}"


def _steps(plan: ResourcePlan) -> Iterator[str]:
    found = plan.schedule
    yield from _each(plan, "rows", _rows)
    counted = "not known" if found.steps is None else f"{found.steps:,}{MARKS.get(found.sure, '')}"
    extra = [f"{found.evaluations} evaluation(s)"] if found.evaluations else []
    extra += [f"{found.checkpoints} checkpoint(s) kept"] if found.checkpoints else []
    taken = f"{found.rows_a_step} rows{' of each source' if plan.sources else ''}"
    yield _line("steps", ", ".join([f"{counted} of {taken}", *extra]))
    yield from _each(plan, "tokens", _row)
    row, mark = plan.tokens, MARKS[plan.tokens.sure]
    yield _line("", f"{plan.tokens_a_step:,.0f}{mark} per step; longest row {row.longest_backbone:,}")


def _rows(plan: ResourcePlan) -> str:
    found = plan.schedule
    if found.rows is None:
        return f"not known ({plan.lengths.note})"
    return f"{found.rows:,}{MARKS.get(found.sure, '')}"


def _row(plan: ResourcePlan) -> str:
    row = plan.tokens
    layout = "responses share their prompt" if row.packed else "padded"
    return f"{row.backbone:,.0f}{MARKS[row.sure]} per row ({row.scored:,.0f} of responses; {layout})"


def _rollouts(plan: ResourcePlan) -> Iterator[str]:
    found = plan.schedule
    if found.prompts_a_rollout is None:
        return
    many = "unknown number" if found.rollouts is None else f"{found.rollouts:,}"
    made = (
        f"{plan.work.decoded:,} tokens at most are generated in each" if plan.work.decoded else "size unknown"
    )
    yield _line("rollouts", f"{many}, of {found.prompts_a_rollout:,} prompts; {made}")


def _memory(plan: ResourcePlan) -> Iterator[str]:
    rows = list(dict.fromkeys((i.role, i.what, i.where) for phase in plan.phases for i in phase.items))
    labels = {key: f"{key[0]}: {key[1]}{' (host)' if key[2] == 'host' else ''}" for key in rows}
    wide = max(map(len, ["memory per process", *labels.values()])) + 2
    yield f"{'memory per process':<{wide}}" + "".join(f"{phase.name:>15}" for phase in plan.phases)
    for key, label in labels.items():
        cells = [_cell([i for i in phase.items if (i.role, i.what, i.where) == key]) for phase in plan.phases]
        yield f"  {label:<{wide - 2}}" + "".join(f"{cell:>15}" for cell in cells)
    yield f"  {'total':<{wide - 2}}" + "".join(f"{gib(phase.total):>15}" for phase in plan.phases)
    least = f"at least {gib(plan.peak.least)}"
    yield _line("peak", f"{gib(plan.peak.total)} in {plan.peak.name}, {least}{_fit(plan)}")
    yield _line("", "  ".join(_legend(plan)))


def _legend(plan: ResourcePlan) -> Iterator[str]:
    sure = {item.sure for phase in plan.phases for item in phase.items}
    words = {
        "estimate": f"~ an estimate, within a factor of {plan.factor:g}",
        "bound": "≤ a bound, because lengths are not known",
        "assumed": "* from the given size",
        "unknown": "? not known",
    }
    yield from (text for kind, text in words.items() if kind in sure)
    yield "the rest is exact" if "formula" not in sure else "the rest is exact, divided as in ZeRO"


def _cell(items: list[Item]) -> str:
    if not items:
        return "–"
    return (
        gib(sum(item.bytes for item in items)) + MARKS[items[0].sure] if items[0].sure != "unknown" else "?"
    )


def _fit(plan: ResourcePlan) -> str:
    if plan.memory is None:
        return ""
    words = {
        "yes": "fits",
        "no": "does not fit",
        "maybe": "may not fit",
        "unknown": "not known whether it fits",
    }
    return f"; {words[plan.fits]} {gib(plan.memory.bytes)} ({plan.memory.source})"


def _work(plan: ResourcePlan) -> Iterator[str]:
    found = plan.work
    if found.step is None:
        yield _line("work", "not known without the configuration of the model")
        return
    share = f", {found.head_share:.0%} of it in the LM head" if found.head_share is not None else ""
    yield _line("work", f"{flop(found.step)} per step{share}")
    if found.rollout is not None:
        yield _line("", f"{flop(found.rollout)} per rollout, at most")
    if found.reference_once is not None:
        yield _line("", f"{flop(found.reference_once)} once for the reference")


def _launch(plan: ResourcePlan) -> Iterator[str]:
    if plan.launch:
        yield _line("launch", shlex.join(plan.launch))


def gib(size: int) -> str:
    """Write a number of bytes in a suitable unit."""
    for unit, name in ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}" if size < 1000 * unit else f"{size / unit:.0f} {name}"
    return f"{size} B"


def flop(count: float) -> str:
    """Write a number of FLOP in a suitable unit."""
    for unit, name in ((1e18, "EFLOP"), (1e15, "PFLOP"), (1e12, "TFLOP"), (1e9, "GFLOP")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count / 1e6:.3g} MFLOP"


def short(count: int) -> str:
    """Write a count of parameters as 494M or 7.2B."""
    for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= unit:
            return f"{count / unit:.3g}{name}"
    return str(count)
