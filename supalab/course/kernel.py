"""Start a lab for a notebook, and run a client in the kernel's own event loop with ``await``.

The result is a ``Trial`` with spans and witness. Memory is measured only by ``race``, in fresh processes that hold
nothing but the client: a kernel also holds a plotting library.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import re
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from supalab.course.live import live_view
from supalab.errors import LabError, SettingsError
from supalab.lab.handle import Lab
from supalab.measure.case import Case, Trial, Workload
from supalab.measure.run import Plan, here

if TYPE_CHECKING:
    from supalab.clients.base import Client

INTERRUPTED = "Interrupted. What this cell had started was cancelled; you can run the cell again."

#: Looking at a burst may take this share of the time: a short burst has ended after three looks.
WATCHED = 0.1

_lab: Lab | None = None


def start_lab(*, latency: float = 0.15) -> Lab:
    """Return this kernel's lab, started if need be; running the cell again gives the same lab as it was at its start.

    ``latency``: seconds; the other conditions are reset to off. The lab stops when the kernel stops, even after a
    crash.
    """
    global _lab  # one lab for the kernel is the point
    _keep_loopback_direct()
    _short_errors()
    if _lab is not None:
        with suppress(LabError):
            _lab.set(latency=latency, jitter=0.0, rtt=0.0, tls=False, error_rate=0.0)
            return _lab
        _lab.stop()  # its process is gone: clean up after it and start another
    _lab = Lab(latency=latency).start()
    atexit.register(_lab.stop)
    return _lab


def _keep_loopback_direct() -> None:
    """Keep proxies from the environment away from the lab's traffic, whichever library a cell uses.

    requests, urllib and httpx all read NO_PROXY; on a company's laptop it often lacks the loopback address.
    """
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [host for host in os.environ.get(name, "").split(",") if host.strip()]
        missing = [host for host in ("127.0.0.1", "localhost") if host not in hosts]
        os.environ[name] = ",".join([*hosts, *missing])


async def observe(client: Client, lab: Lab, arm: str, *, requests: int = 100, watch: bool = False) -> Trial:
    """Send ``requests`` at once through ``client`` and return the trial, with what the lab saw of it.

    ``arm``: the name for the charts, such as ``fake-3``; its number is the client's limit. ``watch``: show below the
    cell what the lab has in flight, four times a second. Safe to run again.
    Raises SettingsError for a name without a number, or with a number that is not the client's limit.
    """
    _check_limit(arm, client)
    # In a thread, so that it does not block the notebook's loop.
    conditions = asdict(await asyncio.to_thread(lambda: lab.conditions))
    work = Workload(requests, conditions.pop("latency"))
    others = {name: value for name, value in conditions.items() if value}

    def plan() -> Plan:
        yield Case(arm, work, "burst", conditions=others, detail=True)

    record = await here(plan(), lab, client=client, progress=live_view(lab, share=WATCHED) if watch else None)
    return record.trials[0]


def _check_limit(arm: str, client: object) -> None:
    number = arm.rpartition("-")[2]
    if not re.fullmatch(r"[1-9][0-9]{0,5}", number):
        raise SettingsError(f"arm {arm!r} does not end in the client's limit: call it e.g. {arm.rstrip('-')}-10")
    # A learner's own client may have no settings; then the name counts.
    own = getattr(getattr(client, "_settings", None), "limit", None)
    if own is not None and own != int(number):
        raise SettingsError(f"arm {arm!r} says {number}, but the client's limit is {own}: make the two agree")


def _short_errors() -> None:
    """Make a cell that is interrupted, or has a wrong setting, end with one line instead of a screen of traceback."""
    from IPython import get_ipython

    shell = get_ipython()
    if shell is not None:
        shell.set_custom_exc((KeyboardInterrupt, asyncio.CancelledError, SettingsError), _in_one_line)


def _in_one_line(
    shell: Any, kind: type[BaseException], error: BaseException, trace: Any, tb_offset: Any = None
) -> None:
    task = asyncio.current_task() if isinstance(error, asyncio.CancelledError) else None
    # IPython shows what this method of an error returns instead of the traceback.
    if isinstance(error, SettingsError):
        error._render_traceback_ = lambda: [f"{kind.__name__}: {error}"]  # type: ignore[attr-defined]
    # A cell may also await something that it has cancelled itself: this is an error of the cell like any other.
    elif isinstance(error, KeyboardInterrupt) or (task is not None and task.cancelling()):
        error._render_traceback_ = lambda: [INTERRUPTED]  # type: ignore[attr-defined]
    shell.showtraceback((kind, error, trace))
