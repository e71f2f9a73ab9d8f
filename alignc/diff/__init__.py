"""The comparison of two specs: whether their losses are equal, where they differ, and a proof."""

from alignc.diff.compare import compare
from alignc.diff.model import VERDICTS, Change, Conditional, Difference, Verdict, Witness

__all__ = ["VERDICTS", "Change", "Conditional", "Difference", "Verdict", "Witness", "compare"]
