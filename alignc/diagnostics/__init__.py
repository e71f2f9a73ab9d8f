"""Findings: their places, the meaning of their codes, and their output formats."""

from __future__ import annotations

from alignc.diagnostics.codes import CODES, Code
from alignc.diagnostics.model import Diagnostic, DiagnosticError, Span, count, in_reading_order
from alignc.diagnostics.render import render
from alignc.diagnostics.suggest import did_you_mean
from alignc.diagnostics.waivers import apply_waivers

__all__ = [
    "CODES",
    "Code",
    "Diagnostic",
    "DiagnosticError",
    "Span",
    "apply_waivers",
    "count",
    "did_you_mean",
    "in_reading_order",
    "render",
]
