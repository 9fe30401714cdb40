"""What a notebook needs beyond the library: one lab, a trial in the kernel's own loop, a race that can be watched."""

from supalab.course.check import NotDone, check
from supalab.course.kernel import observe, ready_to_go, start_lab
from supalab.course.live import live_view
from supalab.course.predict import predict
from supalab.course.progress import progress_line
from supalab.course.size import sized

__all__ = ["NotDone", "check", "live_view", "observe", "predict", "progress_line", "ready_to_go", "sized", "start_lab"]
