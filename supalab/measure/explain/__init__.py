"""What earned the speed-up: the step from fake to real taken apart, a factor at a time (``supalab explain``)."""

from supalab.measure.explain.result import EXPLANATION, Explanation
from supalab.measure.explain.run import ExplainInterrupted, explain, explained, planned

__all__ = ["EXPLANATION", "ExplainInterrupted", "Explanation", "explain", "explained", "planned"]
