"""Start child processes, receive their reports, and stop them; a child also stops when its parent does."""
