"""Launch: the command line, the environment, the process and the end of a job."""

from alignc.launch.functions import unloadable
from alignc.launch.outputs import Decision, Existing, clear, decide, fingerprint, inspect, settings
from alignc.launch.process import launch
from alignc.launch.stages import (
    Assessment,
    Options,
    Stage,
    assess,
    disallowed,
    ordered,
    prospects,
    reason,
    refusals,
    run_stage,
    untrained,
)
from alignc.launch.verdict import Outcome

__all__ = [
    "Assessment",
    "Decision",
    "Existing",
    "Options",
    "Outcome",
    "Stage",
    "assess",
    "clear",
    "decide",
    "disallowed",
    "fingerprint",
    "inspect",
    "launch",
    "ordered",
    "prospects",
    "reason",
    "refusals",
    "run_stage",
    "settings",
    "unloadable",
    "untrained",
]
