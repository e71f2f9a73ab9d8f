"""The mechanism of checks: a rule is a function from a spec and its loss to findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from alignc.contract.kinds import ONLINE
from alignc.diagnostics import Diagnostic
from alignc.load.load import Loaded
from alignc.lower.loss import Loss
from alignc.spec.rows import Sources, sampled_source
from alignc.yaml.source import NodePath

__all__ = ["Checked", "Rule", "term_path"]


@dataclass(frozen=True)
class Checked:
    """The input of a rule: a spec and its loss."""

    spec: Loaded
    loss: Loss
    every: tuple[Loss, ...]
    """The losses of all sources of the job, including this loss."""

    @property
    def beside_sampled(self) -> bool:
        """Whether these are given rows, and the policy samples the responses of another source."""
        data = self.spec.whole.job.data if self.spec.whole else None
        sampled = sampled_source(data.sources) if isinstance(data, Sources) else None
        return sampled is not None and self.spec.job.data.kind not in ONLINE

    def finding(
        self,
        code: str,
        message: str,
        path: NodePath,
        *,
        why: str | None = None,
        help: str | None = None,  # noqa: A002
    ) -> Diagnostic:
        """Make a finding at a path of the spec; the table of codes supplies a reason or help that is None."""
        return Diagnostic(code, message, self.spec.document.span(path), why=why, help=help)


def term_path(index: int) -> NodePath:
    """Return the path of a term."""
    return ("objective", "terms", index)


Rule = Callable[[Checked], Iterable[Diagnostic]]
