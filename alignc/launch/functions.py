"""A test load of user functions before a job starts, so that errors appear before any work."""

from __future__ import annotations

import os
from collections.abc import Sequence

from alignc.contract.rewards import Permission, asked
from alignc.diagnostics import Diagnostic
from alignc.launch.allow import environment as permitted
from alignc.launch.command import environment, usable_cores
from alignc.launch.stages import Assessment, Stage
from alignc.spec.rewards import sources

__all__ = ["unloadable"]


def unloadable(found: Sequence[Assessment]) -> list[Diagnostic]:
    """List the functions of the stages to run that a process like the job's cannot load (E612).

    Call this only for stages whose functions are allowed, because it imports modules. Each function is loaded in a
    process of its own, with the same time limit as in the job.
    """
    return [d for each in found if each.runs for d in _unloadable(each.stage)]


def _unloadable(stage: Stage) -> list[Diagnostic]:
    from alignc.runtime.reward.function import unloadable as failing

    spec, found = stage.job["spec"], []
    functions = [(path, source) for path, source in sources(spec) if asked(source, Permission.FUNCTION)]
    if not functions:
        return []
    variables, _ = environment(os.environ, spec["launch"], usable_cores())
    variables |= permitted(spec, stage.document, stage.allowed)
    for path, source in functions:
        role = "oracle" if path[-1] == "oracle" else "reward"
        if failure := failing(source["name"], role, float(source["timeout"]), variables):
            span = stage.document.span((*path, "name"))
            found.append(Diagnostic(failure.code, failure.message, span, failure.why))
    return found
