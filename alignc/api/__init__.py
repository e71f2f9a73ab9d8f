"""The Python interface: one function for each command; each function returns a typed object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignc.api.compiled import Compiled, Mixture, Report, Spec, built, lowered, specs_of, validate
from alignc.api.running import Ran, resources_of, run, run_stages, staged
from alignc.diagnostics import Diagnostic
from alignc.load.load import load
from alignc.point.evaluate import at_mixture, at_point

if TYPE_CHECKING:
    from alignc.diff import Difference
    from alignc.emit import JobFolder
    from alignc.explain import Explanation
    from alignc.explain.mixture import Mixed
    from alignc.plan.build import ResourcePlan
    from alignc.verify import Verified

__all__ = [
    "Compiled",
    "Mixture",
    "Ran",
    "Report",
    "built",
    "compile",
    "diff",
    "evaluate",
    "explain",
    "load",
    "lowered",
    "plan",
    "planned",
    "run",
    "run_stages",
    "specs_of",
    "staged",
    "validate",
    "verify",
]


def explain(path: Spec, overrides: Sequence[str] = ()) -> Explanation | Mixed:
    """Explain the loss of a spec, or the losses of its sources."""
    return built(path, overrides, files=False).explanation


def evaluate(path: Spec, point: Mapping[str, Any], overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Evaluate the loss of a spec and its gradient at given examples, in float64."""
    compiled = built(path, overrides, files=False)
    return (
        at_point(compiled.loss, point)
        if isinstance(compiled, Compiled)
        else at_mixture(compiled.losses, point)
    )


def diff(
    a: Spec,
    b: Spec,
    set_a: Sequence[str] = (),
    set_b: Sequence[str] = (),
    *,
    source_a: str | None = None,
    source_b: str | None = None,
) -> Difference:
    """Compare the meaning of two specs: the verdict on their losses, its proof, and the changes.

    `source_a` and `source_b` name the source to compare, if a spec has several sources.
    """
    from alignc.diff import compare

    first = lowered(a, set_a, files=False, source=source_a)
    second = lowered(b, set_b, files=False, source=source_b)
    return compare((first.spec, first.loss, first.needs), (second.spec, second.loss, second.needs))


def verify(
    path: Spec, overrides: Sequence[str] = (), *, table: bool = False, source: str | None = None
) -> Verified:
    """Test the claims about the loss of a spec on a small policy; `table` adds each KL estimator.

    `source` names the source to test, if the spec has several sources.
    """
    from alignc.claims.verified import verified

    compiled = lowered(path, overrides, files=False, source=source)
    return verified(compiled, table=table)


def compile(  # noqa: A001
    path: Spec, target: Spec, overrides: Sequence[str] = (), *, standalone: bool = False
) -> JobFolder:
    """Write the job folder of a spec."""
    from alignc.emit import write

    folder = built(path, overrides, files=False).folder(standalone=standalone)
    write(folder, Path(target))
    return folder


@dataclass(frozen=True)
class Planned:
    """The plan of a spec, its warnings, and its refusal (E606) or None."""

    plan: ResourcePlan
    warnings: tuple[Diagnostic, ...]
    refusal: Diagnostic | None
    texts: Mapping[str, str]


def plan(
    path: Spec, overrides: Sequence[str] = (), *, memory: int | None = None, source: str | None = None
) -> ResourcePlan:
    """Plan a spec: what it will take, before a model is loaded. `memory`: bytes that a process may use.

    Of a spec of several sources, `source` takes one, which is planned as if it stood alone; without it all are planned.
    """
    return planned(path, overrides, memory=memory, source=source).plan


def planned(
    path: Spec,
    overrides: Sequence[str] = (),
    *,
    memory: int | None = None,
    parameters: int | None = None,
    read_data: bool = True,
    source: str | None = None,
) -> Planned:
    """Plan a spec, and refuse a job that cannot fit. `parameters` is the size of models on other machines."""
    from alignc.plan.fit import refusal
    from alignc.plan.machine import Memory, of_machine

    compiled = built(path, overrides, files=False)
    if source is not None:
        compiled = lowered(path, overrides, files=False, source=source)
    processes = compiled.spec.job.launch.num_processes
    given = of_machine(processes) if memory is None else Memory(memory, "as given")
    found = resources_of(compiled, read_data=read_data, given=parameters, memory=given)
    document = compiled.spec.document
    return Planned(
        found, compiled.warnings, refusal(found, document.span(("model", "policy"))), document.texts
    )
