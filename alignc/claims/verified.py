"""`verify` with what `explain` says: the checks of its claims beside those of the theory."""

from __future__ import annotations

from dataclasses import replace

from alignc.claims.kinds.spec import Prose
from alignc.claims.makers import claims_of
from alignc.claims.model import Claim, Outcome, Subject
from alignc.claims.render import as_text
from alignc.verify import Verified, verify
from alignc.verify.report import Claim as Line
from alignc.verify.report import Verdict

__all__ = ["verified"]

VERDICTS = {
    Outcome.HOLDS: Verdict.HOLDS,
    Outcome.REFUTED: Verdict.REFUTED,
    Outcome.UNDECIDED: Verdict.UNDECIDED,
}


def verified(subject: Subject, *, table: bool = False, curves: bool = False) -> Verified:
    """Test the claims about a spec, those that its explanation makes included."""
    found = verify(subject.spec, subject.loss, table=table, curves=curves)
    said = (c for c in claims_of(subject) if not isinstance(c, Prose))
    return replace(found, explained=tuple(_line(claim, subject) for claim in said))


def _line(claim: Claim, subject: Subject) -> Line:
    import numpy as np

    from alignc.claims.checkers import verdict

    with np.errstate(all="ignore"):
        found = verdict(claim, subject)
    return Line(
        str(claim.section),
        as_text((claim,)).removesuffix(": checked in the run"),
        found.evidence,
        found.gap,
        VERDICTS[found.outcome],
    )
