"""Runs the lab as a child process of the program that holds its handle; see ``supalab.process``."""

from __future__ import annotations

import sys

from supalab.process.attach import attach_to_parent


def main() -> int:
    """Run a lab until its parent ends it; returns the exit code."""
    with attach_to_parent() as parent:
        import logging

        from supalab.lab.server import ServeOptions, run

        logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

        options = ServeOptions.from_json(parent.options)
        run(options, parent.folder, parent.report_ready, parent.ending, parent.progress)
    return 0


if __name__ == "__main__":
    sys.exit(main())
