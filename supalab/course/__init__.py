"""What a notebook needs beyond the library: one lab for the kernel, a trial in its own loop, a progress line."""

from supalab.course.kernel import observe, progress_line, ready_to_go, start_lab

__all__ = ["observe", "progress_line", "ready_to_go", "start_lab"]
