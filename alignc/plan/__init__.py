"""The needs of a job and its plan: memory, steps and work."""

from alignc.plan.needs import Role, needs, roles

__all__ = ["Role", "needs", "roles"]
