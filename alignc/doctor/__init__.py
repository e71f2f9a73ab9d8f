"""Doctor: the abilities of this machine, and the needs of a spec that it does not meet."""

from alignc.doctor.examination import examine
from alignc.doctor.finding import Finding

__all__ = ["Finding", "examine"]
