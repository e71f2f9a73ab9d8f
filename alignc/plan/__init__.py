"""What a job needs and costs."""

from alignc.plan.needs import Needs, Role, needs

__all__ = ["Needs", "Role", "needs"]
