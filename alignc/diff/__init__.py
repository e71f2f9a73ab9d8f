"""Where two specs mean the same, where they part, and what proves it."""

from alignc.diff.compare import compare
from alignc.diff.model import VERDICTS, Change, Conditional, Difference, Verdict, Witness

__all__ = ["VERDICTS", "Change", "Conditional", "Difference", "Verdict", "Witness", "compare"]
