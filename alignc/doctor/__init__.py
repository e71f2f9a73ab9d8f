"""Doctor: what this machine can do, and what a spec needs of it and does not find."""

from alignc.doctor.examination import examine
from alignc.doctor.finding import Finding

__all__ = ["Finding", "examine"]
