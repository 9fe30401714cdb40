"""Under which conditions all of the article's figures are true at once (``supalab claims --detective``)."""

from supalab.measure.detective.case import CASE, Case
from supalab.measure.detective.run import detective, expected_s

__all__ = ["CASE", "Case", "detective", "expected_s"]
