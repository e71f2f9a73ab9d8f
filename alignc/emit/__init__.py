"""From a lowered spec to a job folder."""

from alignc.emit.folder import JobFolder, job_folder, write

__all__ = ["JobFolder", "job_folder", "write"]
