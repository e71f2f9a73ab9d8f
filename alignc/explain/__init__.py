"""What a loss says: the explanation as data, for every printer."""

from alignc.explain.build import explanation
from alignc.explain.model import Coefficient, Explanation, Given, Where

__all__ = ["Coefficient", "Explanation", "Given", "Where", "explanation"]
