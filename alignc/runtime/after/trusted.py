"""The probe of a job's policy without a run: `alignc doctor SPEC` asks for it in a process of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...contract.failure import Failure
from ...contract.job import Job, read_job
from ..data import load_examples, settings_from_job
from ..data.example import Example
from ..data.tokenizer import load_tokenizer
from ..models.load import initial_model, ready
from ..models.reach import check_reach
from ..ranks.world import pick_device
from ..scoring.micro import choose_layout, found_of
from ..train.run_job import quiet

__all__ = ["probe_policy"]


def probe_policy(job: Job) -> dict[str, Any]:
    """Load the policy of a job, and say how a run would score it: its layout, its head, and why.

    Failures as a run has them before its first step: E601 and E703 of the model, E615 and E004 of its reach, E605 and
    E607 of the probe.
    """
    tokenizer = load_tokenizer(job.spec.model, job.spec.data.chat_template)
    model = initial_model(job, tokenizer, critic=False)
    check_reach(model, tokenizer, job.spec.train.max_length)
    device = pick_device(0)
    model = ready(model, job, device)
    return found_of(model, choose_layout(job, model, tokenizer, device, None, rows=few_rows(job, tokenizer)))


def few_rows(job: Job, tokenizer: Any) -> Sequence[Example]:
    """Read the first rows of the first source; prompts, and rows that can't be read, leave the probe to its own."""
    part = (job.parts or (job,))[0]
    if part.spec.data.online:
        return ()
    try:
        return [*load_examples(settings_from_job(part), tokenizer, which="train", limit=2).examples]
    except Failure:
        return ()


def main(arguments: Sequence[str]) -> None:
    """Probe the policy of the job in a file, and print what was found, or the failure, as one line of JSON."""
    quiet()
    try:
        found = probe_policy(read_job(Path(arguments[0])))
    except Failure as failure:
        found = {"failure": failure.as_dict()}
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
