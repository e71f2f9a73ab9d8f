"""What a job needs and costs."""

from alignc.plan.needs import Role, needs, roles

__all__ = ["Role", "needs", "roles"]
