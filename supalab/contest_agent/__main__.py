"""Runs the service as a child process of the program that holds its handle; see ``supalab.process``."""

from __future__ import annotations

from supalab.process.attach import attach_to_parent

if __name__ == "__main__":
    with attach_to_parent() as parent:
        # Nothing heavy may be imported before this.
        from supalab.contest_agent.options import AgentOptions
        from supalab.contest_agent.server import serve
        from supalab.settings import Settings

        options = AgentOptions(**parent.options | {"settings": Settings(**parent.options["settings"])})
        serve(options, lambda url: parent.report({"url": url}, last=True), parent.ending)
