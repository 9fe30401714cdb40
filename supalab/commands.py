"""The commands that are not experiments (probe, agent, serve, record, course, progress), and options of experiments.

The help of a command is its docstring.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from supalab.errors import SettingsError
from supalab.settings import Settings

if TYPE_CHECKING:
    from supalab.contest_agent.options import AgentOptions
    from supalab.lab.handle import Lab

__all__ = ["OTHERS", "SPECIAL"]

KEY = "its key (default: the environment's SUPABASE_KEY, which unlike an option is not visible in ps)"
REST_PATH = 'the prefix of its API, "" for plain PostgREST (/rest/v1)'
LAB_LATENCY_S, STEPS, WATCH_S = 0.15, 5, 5.0
FACTORY = "supalab probe my_client:make, where my_client.py has `def make(url, key): return MyClient(url, key)`"
LAB_ONLY = ("latency", "rtt", "tls", "jitter", "error_rate")


def _race(
    asked: dict[str, Any],
    *,
    url: Annotated[str | None, "race on a real project instead of the lab"] = None,
    key: Annotated[str | None, KEY] = None,
    rest_path: Annotated[str, REST_PATH] = "/rest/v1",
    peers: Annotated[bool, 'other people\'s clients too: pip install -e ".[peers]"'] = False,
) -> dict[str, Any]:
    """A real project instead of the lab, and other people's clients."""
    if peers:
        from supalab.clients.arms import DEFAULT_ARMS, PEER_ARMS

        asked["arms"] = tuple(dict.fromkeys([*asked.get("arms", DEFAULT_ARMS), *PEER_ARMS]))
    if url is None:
        if key is not None:
            raise SettingsError("--key goes with --url: give the project's address too, or neither for the lab")
        return {}
    ours = ", ".join(f"--{name.replace('_', '-')}" for name in LAB_ONLY if name in asked)
    if ours:
        raise SettingsError(f"{ours}: only a lab's conditions can be chosen, not those of --url: leave one of them out")
    asked["latency"] = None
    return {"settings": Settings(url, key or os.environ.get("SUPABASE_KEY") or None, rest_path=rest_path)}


def _load(
    asked: dict[str, Any],
    *,
    url: Annotated[str | None, "the service (default: our own over a lab, see --client)"] = None,
    rate: Annotated[str | None, "requests per second: 20, 5,10,15 or 5..40 (5..40)"] = None,
    step: Annotated[float | None, "by how much a range goes up (default: it doubles)"] = None,
) -> dict[str, Any]:
    """A service of any address instead of our own, and rates in words."""
    from supalab.experiments.load import RATES, rates
    from supalab.measure.service import PATH, Private

    if "callers" in asked and (rate is not None or step is not None):
        raise SettingsError("--callers and --rate: a closed loop sends after each response, give one of the two")
    asked["rates"] = RATES if rate is None and step is None else rates(rate or "5..40", step)
    if url is None:
        return {}
    if "client" in asked:
        raise SettingsError("--client is for our own service: leave it out, or the url")
    if "?" in url or "#" in url:  # Not named: a query may hold a key.
        raise SettingsError("the url holds a query: give the service's address alone, and the query with --path")
    settings = Settings(url, None, rest_path="")
    asked |= {"service": settings.url, "path": Private(asked.get("path", PATH))}
    return {"settings": settings}


def _claims(
    asked: dict[str, Any],
    *,
    table: Annotated[
        list[str] | None,
        "check a table's numbers by Little's law and measure nothing, e.g. "
        "limit=3,response=450ms,rate=6.7,n=100,total=15; twice for before and after",
    ] = None,
) -> dict[str, Any] | int:
    """A blog's table, read by Little's law without measuring anything."""
    if table is None:
        return {}
    from supalab.measure.littles_law import blog_table, row_of

    if asked:
        raise SettingsError(f"--{', --'.join(asked)}: --table measures nothing: leave one of them out")
    if len(table) > 2:
        raise SettingsError(f"--table was given {len(table)} times: once, or twice for before and after")
    sys.stdout.write(f"{blog_table(*map(row_of, table))}\n")
    return 0


#: Experiments with options of their own, and what these do.
SPECIAL: Mapping[str, Callable[..., Any]] = {"race": _race, "load": _load, "claims": _claims}


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
        port: 0 chooses a free one (0)
        data: .sql script or .csv table to serve (contests)
        latency: seconds for each request (0)
        jitter: random variation of the latency, ± seconds (0)
        rtt: seconds of a network round trip (0)
        tls: https with a certificate of the lab's own authority
        error_rate: share of requests that fail (0)
        seed: random seed of jitter and failures (0)
    """
    from supalab.lab.handle import Lab
    from supalab.lab.handle import serve as run

    conditions: dict[str, Any] = {
        "latency": latency,
        "jitter": jitter,
        "rtt": rtt,
        "tls": tls,
        "error_rate": error_rate,
    }
    return run(Lab(port=port, seed=data, random_seed=seed, **conditions))


def course(
    *arguments: Annotated[str, Parameter(allow_leading_hyphen=True)], fresh: str | None = None, copy_only: bool = False
) -> int:
    """Open the course in JupyterLab, in a working copy of your own.

    Example: supalab course my-folder

    Args:
        arguments: a folder, then options of JupyterLab
        fresh: bring back the original of a notebook, such as 05, or of all
        copy_only: make the working copy, and do not start JupyterLab
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
    # Then `!supalab progress` works in a cell, and in a terminal of JupyterLab, where nothing was activated.
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
        folders: working copies, or folders that hold them (supalab-course)
        watch: print the table again every few seconds, until Ctrl-C
    """
    from supalab.course.attempts import attempts, copies_in, host_table, learner_text, short_names
    from supalab.course.copies import default
    from supalab.course.exercises import EXERCISES

    here = default()
    places = folders or (here if here.is_dir() else Path(),)
    while True:
        copies = copies_in(places)
        found = dict(zip(short_names(copies), map(attempts, copies), strict=True))
        alone = not watch and len(copies) == 1 and tuple(copies) == places
        said = learner_text(attempts(copies[0]), [*EXERCISES]) if alone else ""
        sys.stdout.write(f"{said or host_table(found, [*EXERCISES], datetime.now(UTC))}\n")
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
    key: Annotated[str | None, Parameter(help=KEY)] = None,
    rest_path: Annotated[str, Parameter(help=REST_PATH)] = "/rest/v1",
    timeout: float | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
) -> int:
    """Serve contest-agent, a service that runs on any of the clients.

    Example: supalab agent --client fake-10

    Its address, and its lab's, go to standard output; a log line for each request goes to standard error. It runs until
    Ctrl-C or SIGTERM, and then finishes what is in flight. A second Ctrl-C ends it at once.

    Args:
        client: fake, article, real, or an arm such as fake-10 (real)
        lab: use a lab of its own (default without an address)
        latency: server time of that lab in seconds (0.15)
        url: on a real project (default: $SUPABASE_URL, else a lab)
        timeout: seconds the client waits for the backend (5)
        host: address to listen on; 0.0.0.0 in a container (127.0.0.1)
        port: default: the environment's PORT, else a free one
    """
    from supalab.contest_agent.options import TIMEOUT_S, AgentOptions
    from supalab.process.tuning import ended_by_signals

    address = _backend(url, key, latency, lab=lab)

    def options(url: str, key: str | None) -> AgentOptions:
        settings = Settings(url, key, timeout=TIMEOUT_S if timeout is None else timeout, rest_path=rest_path)
        return AgentOptions(client, settings, host, _port(port))

    ending, announced = Event(), Event()

    with ended_by_signals(ending, announced), ExitStack() as stack:
        if address is None:
            from supalab.lab.handle import Lab

            options("http://127.0.0.1", None)  # checked before a lab is started, whose address is not known yet
            backend = stack.enter_context(Lab(latency=LAB_LATENCY_S if latency is None else latency))
            _serve_agent(options(backend.url, backend.key), announced, ending)
        else:
            _serve_agent(options(address, key or os.environ.get("SUPABASE_KEY") or None), announced, ending)
    return 0


def _backend(url: str | None, key: str | None, latency: float | None, *, lab: bool) -> str | None:
    """The backend's address, None for a lab of its own."""
    if lab and url is not None:
        raise SettingsError("--lab and --url exclude each other: choose the backend")
    address = None if lab else url or os.environ.get("SUPABASE_URL") or None
    if address is None and key is not None:
        raise SettingsError("--key goes with --url: give the project's address too, or neither for the lab")
    if address is not None and latency is not None:
        raise SettingsError("--latency: only a lab's can be chosen: leave it out, or give --lab and no --url")
    return address


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
    json: Path | None = None,
    figure: Path | None = None,
) -> int:
    """Find out what your client really is: real async, fake async or blocking.

    Example: supalab probe my_client:make

    Args:
        factory: module:factory, called with (url, key) or without arguments
        method: the client's method that makes a request (select)
        args: its arguments (contests)
        json: write the record to this file
        figure: draw the figure to this file: .png, .svg or .pdf
    """
    import asyncio

    from supalab.lab.handle import Lab
    from supalab.measure.run import Progress
    from supalab.output import ProgressBar, check_outputs, say
    from supalab.probe import VERDICT
    from supalab.probe import probe as run
    from supalab.report.table import WIDTH, show

    check_outputs(json, figure)
    module, name = _parted(factory)
    with ProgressBar("steps") as tell, Lab() as lab, _importable(lab):
        verdict = asyncio.run(
            run(
                _found(module, name), lab=lab, in_environment=True, method=method, args=args, name=factory,
                progress=lambda share, doing: tell(Progress(share, doing, round(share * STEPS), STEPS)),
            )
        )  # fmt: skip
    if json is not None:
        say(f"written: {VERDICT.save(verdict, json)}")
    show(verdict.tables(), at_most=WIDTH)
    if figure is not None:
        from supalab.probe.figure import evidence
        from supalab.report.plot import save

        say(f"written: {save(evidence(verdict), figure)}")
    return 0


def _parted(words: str) -> tuple[str, str]:
    module, colon, name = words.partition(":")
    if module.endswith(".py") or "/" in module or "\\" in module:
        raise SettingsError(f"{words!r} names a file: give the module instead, from its folder, e.g. {FACTORY}")
    if not colon or not module or not name:
        raise SettingsError(f"{words!r} is not module:factory: e.g. {FACTORY}")
    return module, name


def _found(module: str, name: str) -> Any:
    """Import the named object; raises SettingsError that says what does not exist."""
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module and not module.startswith(f"{error.name}."):
            raise SettingsError(f"module {module!r} needs {error.name!r}, which is not installed here") from error
        raise SettingsError(f"there is no module {module!r} in this folder, nor installed: e.g. {FACTORY}") from None
    except (Exception, SystemExit) as error:
        raise SettingsError(f"module {module!r} cannot be imported: {type(error).__name__}: {error}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise SettingsError(f"{module} has no {name!r}{_instead(found, part)}")
        found = getattr(found, part)
    return found


def _instead(owner: Any, part: str) -> str:
    named = getattr(owner, "__name__", None)
    public = {one: thing for one, thing in vars(owner).items() if not one.startswith("_") and callable(thing)}
    # What it has imported is hardly meant.
    there = [one for one, thing in public.items() if getattr(thing, "__module__", named) == named]
    near = difflib.get_close_matches(part, there, n=1)
    return f": did you mean {near[0]!r}?" if near else f"; it has {', '.join(there[:8]) or 'nothing to call'}"


@contextmanager
def _importable(lab: Lab) -> Iterator[None]:
    """Put the lab's url and key where clients look for them, and let this folder be imported from; then undo it."""
    path, before = list(sys.path), {name: os.environ.get(name) for name in ("SUPABASE_URL", "SUPABASE_KEY")}
    os.environ.update(SUPABASE_URL=lab.url, SUPABASE_KEY=lab.key)
    sys.path.insert(0, str(Path.cwd()))
    try:
        yield
    finally:
        sys.path[:] = path
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def record(*, only: str | None = None, list: bool = False, compare: bool = False, into: Path | None = None) -> int:
    """Measure all reference material again, or compare it.

    Example: supalab record --only race --compare

    Args:
        only: which records, e.g. race,claims (default: all; --list names them)
        list: list the records and how long each takes; measure nothing
        compare: measure and compare with the record; write nothing
        into: where to write (data/reference of the checkout)
    """
    from supalab import reference

    chosen = reference.chosen(None if only is None else [name.strip() for name in only.split(",")])
    if list:
        sys.stdout.write(reference.listed(chosen))
        return 0
    reference.measured(chosen, into, compare=compare)
    return 0


#: The commands that are no experiments, in the order in which the help names them.
OTHERS: tuple[Callable[..., int], ...] = (probe, agent, serve, record, course, progress)
