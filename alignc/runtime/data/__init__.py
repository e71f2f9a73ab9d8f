"""Data: from a source's rows to token rows, with every row accounted for."""

from .dataset import Dataset, load_examples
from .example import Example
from .judge import Counts
from .preview import Preview, preview
from .settings import DataSettings, settings_from_job

__all__ = [
    "Counts",
    "DataSettings",
    "Dataset",
    "Example",
    "Preview",
    "load_examples",
    "preview",
    "settings_from_job",
]
