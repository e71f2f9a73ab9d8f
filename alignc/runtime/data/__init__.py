"""Data: from a source's rows to token rows, with every row accounted for."""

from alignc.runtime.data.dataset import Dataset, load_examples
from alignc.runtime.data.example import Example
from alignc.runtime.data.judge import Counts
from alignc.runtime.data.order import epoch_order, global_batch, micro_batch, steps_per_epoch
from alignc.runtime.data.settings import DataSettings, EvalSettings, settings_from_job

__all__ = [
    "Counts",
    "DataSettings",
    "Dataset",
    "EvalSettings",
    "Example",
    "epoch_order",
    "global_batch",
    "load_examples",
    "micro_batch",
    "settings_from_job",
    "steps_per_epoch",
]
