"""Runs the lab as a child process of the program that holds its handle; see ``supalab.process``."""

from __future__ import annotations

from supalab.process.attach import attach_to_parent

if __name__ == "__main__":
    with attach_to_parent() as parent:
        # Nothing heavy may be imported before this.
        import logging

        from supalab.lab.conditions import Conditions, ServeOptions
        from supalab.lab.server import run

        logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        options = ServeOptions(**parent.options | {"conditions": Conditions(**parent.options["conditions"])})
        run(options, parent)
