"""What a notebook needs beyond the library: one lab, a trial in the kernel's own loop, a race that can be watched."""

from supalab.course.kernel import observe, ready_to_go, start_lab
from supalab.course.live import live_view
from supalab.course.progress import progress_line

__all__ = ["live_view", "observe", "progress_line", "ready_to_go", "start_lab"]
