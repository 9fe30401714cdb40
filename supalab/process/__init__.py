"""Child processes of ours: start one, watch its parent, report from it, end it, and leave nothing behind."""
