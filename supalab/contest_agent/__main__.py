"""Runs the service as a child process of the program that holds its handle; see ``supalab.process``."""

from __future__ import annotations

import sys

from supalab.process.attach import attach_to_parent


def main() -> int:
    """Run a service until its parent ends it; returns the exit code."""
    # Its options are not checked yet, and nothing heavy may be imported before this.
    with attach_to_parent(lambda options: float(options["hard_end"])) as parent:
        from supalab.contest_agent.options import AgentOptions
        from supalab.contest_agent.server import run

        options = AgentOptions.from_json(parent.options["agent"])
        run(options, lambda port: parent.report_ready({"port": port}), parent.ending)
    return 0


if __name__ == "__main__":
    sys.exit(main())
