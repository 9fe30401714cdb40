"""Runs the service as a child process of the program that holds its handle; see ``supalab.process``."""

from __future__ import annotations

import sys

from supalab.process.attach import attach_to_parent


def main() -> int:
    """Run a service until its parent ends it; returns the exit code."""
    # Nothing heavy may be imported before this.
    with attach_to_parent() as parent:
        from supalab.contest_agent.options import AgentOptions
        from supalab.contest_agent.server import serve
        from supalab.settings import Settings

        options = AgentOptions(**parent.options | {"settings": Settings(**parent.options["settings"])})
        serve(options, lambda url: parent.report_ready({"url": url}), parent.ending)
    return 0


if __name__ == "__main__":
    sys.exit(main())
