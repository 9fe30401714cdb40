"""Many clients over set cases, and what ours must reach (``supalab bench``)."""

from supalab.measure.bench.run import BenchInterrupted, bench, planned

__all__ = ["BenchInterrupted", "bench", "planned"]
