"""What is stated about an objective: claims made from its graph, and their checks by enumeration."""

from __future__ import annotations

from alignc.claims.makers import claims_of
from alignc.claims.model import Claim, Outcome, Subject, Verdict

__all__ = ["Claim", "Outcome", "Subject", "Verdict", "check", "claims_of"]


def check(claim: Claim, subject: Subject) -> Verdict:
    """Check a claim about a compiled objective against numbers; nothing of the claim's maker is used."""
    from alignc.claims.checkers import verdict

    return verdict(claim, subject)
