"""Runs the lab as a child process of the program that holds its handle; see ``supalab.process``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from supalab.process.attach import attach_to_parent

if TYPE_CHECKING:
    from supalab.lab.server import Running

HARD_END_S = 2.8


def main() -> int:
    """Run a lab until its parent ends it; returns the exit code."""
    with attach_to_parent(lambda _: HARD_END_S) as parent:
        import logging

        from supalab.lab.server import ServeOptions, run

        logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

        def ready(running: Running) -> None:
            parent.report_ready(running.as_json())

        run(ServeOptions.from_json(parent.options), parent.folder, ready, parent.ending, parent.progress)
    return 0


if __name__ == "__main__":
    sys.exit(main())
