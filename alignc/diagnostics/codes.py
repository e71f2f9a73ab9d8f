"""The table of codes: the one source of `alignc rule`, the reference page and SARIF's rules."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from alignc.diagnostics.catalogue.at_run import ENVIRONMENT, ROWS, RUNS
from alignc.diagnostics.catalogue.code import Code
from alignc.diagnostics.catalogue.data_and_types import DATA_AND_TYPES
from alignc.diagnostics.catalogue.kl import KL
from alignc.diagnostics.catalogue.policy_gradient import POLICY_GRADIENT
from alignc.diagnostics.catalogue.reading import READING
from alignc.diagnostics.catalogue.rewards import REWARD_ANSWERS, REWARD_PERMISSIONS
from alignc.diagnostics.catalogue.units_and_signs import UNITS_AND_SIGNS
from alignc.diagnostics.model import Diagnostic

GROUPS: Mapping[str, str] = MappingProxyType(
    {
        "0": "Reading and fields",
        "1": "Data and types",
        "2": "KL estimators",
        "3": "Sampling and policy gradients",
        "4": "Units and domains",
        "5": "Signs",
        "6": "Resources and environment",
        "7": "Data rows",
        "8": "Runs",
    }
)
"""Titles of the groups by the first digit of a code."""

CODES: Mapping[str, Code] = MappingProxyType(
    {
        code.code: code
        for group in (
            READING,
            DATA_AND_TYPES,
            KL,
            POLICY_GRADIENT,
            UNITS_AND_SIGNS,
            ENVIRONMENT,
            REWARD_PERMISSIONS,
            ROWS,
            RUNS,
            REWARD_ANSWERS,
        )
        for code in group
    }
)


def why_of(diagnostic: Diagnostic) -> str | None:
    """Return the reason of the finding, else the reason of its code."""
    code = CODES.get(diagnostic.code)
    return diagnostic.why or (code.why if code else None)


def help_of(diagnostic: Diagnostic) -> str | None:
    """Return the help of the finding, else the help of its code."""
    code = CODES.get(diagnostic.code)
    return diagnostic.help or (code.help if code else None)


__all__ = ["CODES", "GROUPS", "Code", "help_of", "why_of"]
