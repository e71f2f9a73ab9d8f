"""The whole spec, typed."""

from __future__ import annotations

from typing import Literal

from alignc.spec.base import Spec, field
from alignc.spec.objective import Objective
from alignc.spec.rows import Data
from alignc.spec.sections import Launch, Model, Train

__all__ = ["Job"]


class Job(Spec):
    """A training job: its objective, model, data, optimizer, processes and output folder."""

    version: Literal[1] = field(1, "Version of the language.")
    name: str = field(..., "Name of the job.", min_length=1, max_length=200)
    objective: Objective = field(..., "The objective: the loss that is minimised.")
    model: Model = field(..., "The policy, its reference and its adapter.")
    data: Data = field(..., "The rows that the policy learns from.")
    train: Train = field(Train(), "Optimizer and schedule.")
    launch: Launch = field(Launch(), "Processes and engine.")
    output_dir: str = field(..., "The folder for all files that the job writes.", min_length=1)
