"""Findings: where they are, what their codes mean, and how they are shown."""

from __future__ import annotations

from alignc.diagnostics.model import Diagnostic, DiagnosticError, Span, count, in_reading_order

__all__ = ["Diagnostic", "DiagnosticError", "Span", "count", "in_reading_order"]
