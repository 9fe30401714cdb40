"""The service as a child process: one JSON line of options flows in, one JSON line flows out when it is ready.

How it hangs on its parent is in ``supalab.lab.leash``.
"""

from __future__ import annotations

import sys

from supalab.lab.leash import Leash, held, say


def main() -> int:
    """Run a service as the child of the process that wrote the first line to standard input; returns the exit code."""
    # Its options are not checked yet, and the leash must hold before anything heavy is imported.
    leash = held(lambda options: float(options["hard_end"]))
    code = _run(leash)
    leash.slipped()
    return code


def _run(leash: Leash) -> int:
    from supalab.errors import SupalabError

    try:
        from supalab.contest_agent.options import AgentOptions
        from supalab.contest_agent.server import run

        options = AgentOptions.from_json(leash.options["agent"])
        run(options, lambda port: say({"port": port}), leash.ending)
    except SupalabError as error:
        say({"kind": type(error).__name__, "error": str(error)})
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
