"""The commands that are not experiments: probe, agent, serve, record, course, progress. Docstrings are the help."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from operator import attrgetter
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from supalab import output
from supalab.errors import SettingsError

if TYPE_CHECKING:
    from supalab.contest_agent.options import AgentOptions

#: The experiments that are commands of ``supalab costs``.
COSTS = ("memory", "lag", "cancel", "throughput")

LAB_LATENCY_S, STEPS, WATCH_S = 0.15, 5, 5.0
FACTORY = "supalab probe my_client:make, where my_client.py has `def make(url, key): return MyClient(url, key)`"


def all_costs(*, quick: output.Quick = False, json: Path | None = None, figure: Path | None = None) -> int:
    """Measure what each client costs: memory, loop lag, cancellation, throughput.

    Example: supalab costs --quick

    Args:
        json: write the records: FILE-memory.json and so on
        figure: draw the figures: FILE-memory.png and so on
    """
    from supalab.experiment_command import measure
    from supalab.experiments import experiment

    output.check_outputs(json, figure)
    code = 0
    for one in map(experiment, COSTS):
        if code != 130:
            files = [None if path is None else output.with_addition(path, f"-{one.name}") for path in (json, figure)]
            code = max(code, measure(one, one.quick if quick else one.full, *files))
    return code


def serve(
    *,
    port: int = 0,
    data: Path | None = None,
    latency: float = 0.0,
    jitter: float = 0.0,
    rtt: float = 0.0,
    tls: bool = False,
    error_rate: float = 0.0,
    seed: int = 0,
) -> int:
    """Serve a lab: a backend with PostgREST's API.

    Example: supalab serve --data contests.csv

    Args:
        port: 0 chooses a free one
        data: .sql script or .csv table to serve (default: contests)
        latency: seconds for each request
        jitter: random variation of the latency, ± seconds
        rtt: seconds of a network round trip
        tls: https with a certificate of the lab's own authority
        error_rate: share of requests that fail
        seed: random seed of jitter and failures
    """
    from supalab.lab.handle import Lab
    from supalab.lab.handle import serve as run

    conditions: dict[str, Any] = {"latency": latency, "jitter": jitter, "rtt": rtt, "tls": tls}
    return run(Lab(port=port, error_rate=error_rate, seed=data, random_seed=seed, **conditions))


def course(
    *arguments: Annotated[str, Parameter(allow_leading_hyphen=True)], fresh: str | None = None, copy_only: bool = False
) -> int:
    """Open the course in JupyterLab, in a working copy of your own.

    Example: supalab course my-folder

    Args:
        arguments: a folder, then options for JupyterLab
        fresh: bring back the original of one notebook, such as 05, or of all
        copy_only: make the working copy without starting JupyterLab
    """
    from supalab.course import copies

    named = bool(arguments) and not arguments[0].startswith("-")
    folder = Path(arguments[0]) if named else copies.default()
    if (copy_only or fresh is not None) and arguments[named:]:
        raise SettingsError(f"{arguments[named]!r} is not used with --fresh or --copy-only: give one folder")
    if fresh is not None:
        for book, kept in copies.brought_back(folder, fresh):
            sys.stdout.write(f"{book} is fresh{f'; your version is {kept.name}' if kept else ''}\n")
        return 0
    made = copies.working_copy(folder)
    if copy_only:
        sys.stdout.write(f"{folder}: {len(made)} new files; begin with {folder / copies.FIRST}\n")
        return 0
    # Then `!supalab progress` works in a cell and in a terminal of JupyterLab, although no environment is activated
    # there.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    os.environ["JUPYTER_CONFIG_PATH"] = copies.config_path(os.environ.get("JUPYTER_CONFIG_PATH", ""))
    from jupyterlab.labapp import LabApp  # type: ignore[import-untyped,unused-ignore]  # typed from 4.7 on

    options = [*copies.jupyter_options(folder), *arguments[named:]]
    LabApp.launch_instance(options)  # type: ignore[no-untyped-call,unused-ignore]
    return 0


def progress(*folders: Path, watch: bool = False) -> int:
    """Show which exercises are done, for one learner or for a room.

    Example: supalab progress --watch shared/

    Args:
        folders: working copies, or folders that hold them (default: supalab-course)
        watch: print the table again every few seconds, until Ctrl-C
    """
    from rich.console import Console

    from supalab.course.attempts import attempts, copies_in, host_table, learner_text, short_names
    from supalab.course.copies import default
    from supalab.course.exercises import EXERCISES

    here = default()
    places = folders or (here if here.is_dir() else Path(),)
    while True:
        copies = copies_in(places)
        found = dict(zip(short_names(copies), map(attempts, copies), strict=True))
        alone = not watch and len(copies) == 1 and tuple(copies) == places
        notebooks = {number: exercise.task.notebook for number, exercise in EXERCISES.items()}
        said = learner_text(attempts(copies[0]), notebooks) if alone else ""
        if watch:
            Console().clear()  # only for a terminal, not for a file or a pipe
        sys.stdout.write(f"{said}\n" if said else host_table(found, [*EXERCISES], datetime.now(UTC)))
        if not watch:
            return 0
        sys.stdout.write("\n")
        sys.stdout.flush()
        time.sleep(WATCH_S)


def agent(
    *,
    client: str = "real",
    lab: bool = False,
    latency: float | None = None,
    url: str | None = None,
    key: output.Key = None,
    rest_path: output.RestPath = "/rest/v1",
    timeout: float = 5.0,
    host: str = "127.0.0.1",
    port: int | None = None,
) -> int:
    """Serve contest-agent, a service that runs on any of the clients.

    Example: supalab agent --client fake-10

    Its address, and its lab's, go to standard output; a log line for each
    request goes to standard error. It runs until Ctrl-C or SIGTERM, and then
    finishes what is in flight. A second Ctrl-C ends it at once.

    Args:
        client: fake, article, real, or an arm such as fake-10
        lab: use a lab of its own (default without an address)
        latency: server time of that lab in seconds (0.15)
        url: a real project (default: $SUPABASE_URL, else a lab)
        timeout: seconds the client waits for the backend
        host: address to listen on; 0.0.0.0 in a container
        port: port (default: $PORT, else a free one)
    """
    from supalab.contest_agent.options import AgentOptions
    from supalab.lab.handle import Lab
    from supalab.process.tuning import ended_by_signals
    from supalab.settings import Settings

    if lab and url is not None:
        raise SettingsError("--lab and --url exclude each other: choose the backend")
    address = None if lab else url or os.environ.get("SUPABASE_URL") or None
    key = output.key_for(address, key)
    if address is not None and latency is not None:
        raise SettingsError(
            "--latency: only a lab's server time can be chosen: leave it out, or give --lab and no --url"
        )

    def options(url: str, key: str | None) -> AgentOptions:
        return AgentOptions(client, Settings(url, key, timeout=timeout, rest_path=rest_path), host, _port(port))

    # Checked before a lab is started, whose address is not known yet.
    chosen = options(address or "http://127.0.0.1", key)
    ending, announced = Event(), Event()
    with ended_by_signals(ending, announced), ExitStack() as stack:
        if address is None:
            backend = stack.enter_context(Lab(latency=LAB_LATENCY_S if latency is None else latency))
            chosen = options(backend.url, backend.key)
        _serve_agent(chosen, announced, ending)
    return 0


def _port(given: int | None) -> int:
    told = os.environ.get("PORT", "")
    if given is not None or not told:
        return given or 0
    if not (told.isascii() and told.isdecimal()):
        raise SettingsError(f"PORT is {told!r} in the environment: set it to a number from 1 to 65535, or give --port")
    return int(told)


def _serve_agent(chosen: AgentOptions, announced: Event, ending: Event) -> None:
    from supalab.contest_agent.server import serve

    def ready(address: str) -> None:
        announced.set()
        sys.stderr.write(f"contest-agent on {chosen.client}; try: curl '{address}/contests?size=3'\n")
        sys.stdout.write(f"CONTEST_AGENT_URL={address}\nSUPABASE_URL={chosen.settings.url}\n")
        sys.stdout.flush()

    serve(chosen, ready, ending)


def probe(
    factory: str,
    /,
    *,
    method: str | None = None,
    args: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    json: output.RecordFile = None,
    figure: output.FigureFile = None,
) -> int:
    """Find out what your client really is: real async, fake async or blocking.

    Example: supalab probe my_client:make

    Args:
        factory: module:factory, called with (url, key) or without arguments
        method: the client's method that makes a request (select)
        args: its arguments (contests)
    """
    import asyncio

    from supalab.lab.handle import Lab
    from supalab.measure.run import Progress
    from supalab.probe import VERDICT
    from supalab.probe import probe as run
    from supalab.report.table import WIDTH, show

    output.check_outputs(json, figure)
    module, colon, name = factory.partition(":")
    if module.endswith(".py") or "/" in module or "\\" in module:
        raise SettingsError(f"{factory!r} names a file: give the module instead, from its folder, e.g. {FACTORY}")
    if not (colon and module and name):
        raise SettingsError(f"{factory!r} is not module:factory: e.g. {FACTORY}")
    with output.progress_bar("steps") as tell, Lab() as lab:
        # Clients look for the lab there, and Python for the module; it stays so until this process ends.
        os.environ.update(SUPABASE_URL=lab.url, SUPABASE_KEY=lab.key)
        sys.path.insert(0, str(Path.cwd()))
        verdict = asyncio.run(
            run(
                _found(module, name), lab=lab, in_environment=True, method=method, args=args, name=factory,
                progress=lambda share, doing: tell(Progress(share, doing, round(share * STEPS), STEPS)),
            )
        )  # fmt: skip
    fine = json is None or output.written(partial(VERDICT.save, verdict), json)
    show(verdict.tables(), at_most=WIDTH)
    if figure is not None:
        from supalab.probe.figure import evidence
        from supalab.report.plot import save

        fine = output.written(partial(save, evidence(verdict)), figure) and fine
    return 0 if fine else 2


def _found(module: str, name: str) -> Any:
    """Import the named object; raises SettingsError with the part that does not exist."""
    from supalab.probe.subject import reason

    try:
        found = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        why = reason(error)
        raise SettingsError(f"cannot import {module!r} here ({why}): go to its folder, e.g. {FACTORY}") from error
    try:
        return attrgetter(name)(found)
    except AttributeError:
        there = [one for one, thing in vars(found).items() if callable(thing) and not one.startswith("_")]
        near = difflib.get_close_matches(name, there, n=1)
        instead = f": did you mean {near[0]!r}?" if near else f"; it has {', '.join(there[:8]) or 'nothing to call'}"
        raise SettingsError(f"{module} has no {name!r}{instead}") from None


def record(*, only: str | None = None, list: bool = False, compare: bool = False, into: Path | None = None) -> int:
    """Measure the reference records again, or compare them with today's.

    Example: supalab record --only race --compare

    Args:
        only: which records, e.g. race,claims (default: all; --list names them)
        list: list the records and how long each takes; measure nothing
        compare: measure and compare with the record; write nothing
        into: folder to write to (default: data/reference of the checkout)
    """
    from supalab import reference

    chosen = reference.chosen(None if only is None else [name.strip() for name in only.split(",")])
    if list:
        sys.stdout.write(reference.listed(chosen))
        return 0
    reference.measured(chosen, into, compare=compare)
    return 0


#: The commands that are not experiments, in the order of the help.
OTHERS: tuple[Callable[..., int], ...] = (probe, agent, serve, record, course, progress)
