"""The lab as a child process: one JSON line of options flows in, one JSON line flows out when it is ready, or why not.

How it hangs on its parent is in ``leash.py``.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from supalab.lab.leash import Leash, held, say

if TYPE_CHECKING:
    from supalab.lab.server import Running

HARD_END_S = 2.8


def main() -> int:
    """Run a lab as the child of the process that wrote the first line to standard input; returns the exit code."""
    leash = held(lambda _: HARD_END_S)
    code = _run(leash)
    leash.slipped()
    return code


def _run(leash: Leash) -> int:
    from supalab.errors import SupalabError

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        from supalab.lab.server import ServeOptions, run

        run(ServeOptions.from_json(leash.options), leash.folder, _say_ready, leash.ending)
    except SupalabError as error:
        say({"kind": type(error).__name__, "error": str(error)})
        return 2
    return 0


def _say_ready(running: Running) -> None:
    say(
        {
            "port": running.port,
            "key": running.key,
            "control_port": running.control_port,
            "token": running.token,
            "ca_file": str(running.ca_file) if running.ca_file else None,
        }
    )


if __name__ == "__main__":
    sys.exit(main())
