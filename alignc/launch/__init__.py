"""Launch: the command line and environment of a job, its process, its signals, its end."""

from alignc.launch.outputs import Decision, Existing, clear, decide, fingerprint, inspect, settings
from alignc.launch.process import launch
from alignc.launch.verdict import Outcome

__all__ = [
    "Decision",
    "Existing",
    "Outcome",
    "clear",
    "decide",
    "fingerprint",
    "inspect",
    "launch",
    "settings",
]
