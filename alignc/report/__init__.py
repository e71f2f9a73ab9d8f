"""Reports about runs: a page and a short text."""

from alignc.report.page import page
from alignc.report.read import Run, read_run
from alignc.report.summary import summary

__all__ = ["Run", "page", "read_run", "summary"]
