"""The commands that are not experiments (probe, agent, serve, record, course), and special options of experiments."""

from __future__ import annotations

import asyncio
import difflib
import importlib
import os
import sys
import time
from collections.abc import Iterator, Mapping
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


def _option(text: str) -> Parameter:
    return Parameter(help=text, show_default=False, negative_bool=())


Record = Annotated[Path | None, _option("write the record to this file")]
Figure = Annotated[Path | None, _option("draw the figure to this file: .png, .svg or .pdf")]


def _race(asked: dict[str, Any]) -> dict[str, Any]:
    """A real project instead of the lab, and other people's clients."""
    url, key, rest_path = (asked.pop(name, None) for name in ("url", "key", "rest_path"))
    if asked.pop("peers", False):
        from supalab.clients.arms import DEFAULT_ARMS, PEER_ARMS

        asked["arms"] = tuple(dict.fromkeys([*asked.get("arms", DEFAULT_ARMS), *PEER_ARMS]))
    if url is None:
        if key is not None:
            raise SettingsError("--key goes with --url: give the project's address too, or neither for the lab")
        return {}
    ours = [name for name in ("latency", "rtt", "tls", "jitter", "error_rate") if name in asked]
    if ours:
        said = ", ".join(f"--{name.replace('_', '-')}" for name in ours)
        raise SettingsError(f"{said}: only a lab's conditions can be chosen, not those of --url: leave one of them out")
    asked["latency"] = None
    key = key or os.environ.get("SUPABASE_KEY") or None
    return {"settings": Settings(url, key, rest_path="/rest/v1" if rest_path is None else rest_path)}


def _load(asked: dict[str, Any]) -> dict[str, Any]:
    """A service of any address instead of our own, and rates in words."""
    from supalab.experiments.load import RATES, rates
    from supalab.measure.service import PATH, Private

    url, step, rate = (asked.pop(name, None) for name in ("url", "step", "rate"))
    if "callers" in asked and (rate is not None or step is not None):
        raise SettingsError("--callers and --rate: a closed loop asks when it is answered, give one of the two")
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


def _claims(asked: dict[str, Any]) -> dict[str, Any] | int:
    """A blog's table, read by Little's law without measuring anything."""
    rows = asked.pop("table", None)
    if rows is None:
        return {}
    from supalab.measure.littles_law import blog_table, row_of

    if asked:
        raise SettingsError(f"--{', --'.join(asked)}: --table only checks numbers on paper: leave one of them out")
    if len(rows) > 2:
        raise SettingsError(f"--table was given {len(rows)} times: once, or twice for before and after")
    sys.stdout.write(f"{blog_table(*(row_of(words) for words in rows))}\n")
    return 0


#: Experiments with their own options: types, help, and what the options do.
SPECIAL: Mapping[str, tuple[Any, Any]] = {
    "race": (
        {
            "url": (str, "race on a real project instead of the lab"),
            "key": (str, KEY),
            "rest_path": (str, REST_PATH),
            "peers": (bool, 'other people\'s clients too: pip install -e ".[peers]"'),
        },
        _race,
    ),
    "load": (
        {
            "url": (str, "the service (default: our own over a lab, see --client)"),
            "rate": (str, "requests per second: 20, 5,10,15 or 5..40 (5..40)"),
            "step": (float, "what a range goes up by (default: it doubles)"),
        },
        _load,
    ),
    "claims": (
        {
            "table": (
                list[str],
                "check a table's numbers by Little's law and measure nothing, e.g. "
                "limit=3,response=450ms,rate=6.7,n=100,total=15; twice for before and after",
            )
        },
        _claims,
    ),
}


def serve(
    *,
    port: Annotated[int, _option("0 takes a free one (0)")] = 0,
    data: Annotated[Path | None, _option(".sql script or .csv table to serve (contests)")] = None,
    latency: Annotated[float, _option("seconds for each request (0)")] = 0.0,
    jitter: Annotated[float, _option("random variation of the latency, ± seconds (0)")] = 0.0,
    rtt: Annotated[float, _option("seconds of a network round trip (0)")] = 0.0,
    tls: Annotated[bool, _option("https with a certificate of the lab's own authority")] = False,
    error_rate: Annotated[float, _option("share of requests that fail (0)")] = 0.0,
    seed: Annotated[int, _option("random seed of jitter and failures (0)")] = 0,
) -> int:
    """Serve a lab in the foreground until Ctrl-C or SIGTERM."""
    from supalab.lab.conditions import Conditions, ServeOptions
    from supalab.lab.server import serve as run

    conditions = Conditions(latency, jitter, rtt, tls, error_rate)
    return run(ServeOptions(port=port, conditions=conditions, seed=data, random_seed=seed))


def course(
    *arguments: Annotated[str, Parameter(allow_leading_hyphen=True, help="a folder, then options of JupyterLab")],
    fresh: Annotated[str | None, _option("bring back the original of a notebook, such as 05, or of all")] = None,
    copy_only: Annotated[bool, _option("make the working copy, and do not start JupyterLab")] = False,
) -> int:
    """Open a working copy of the course (folder supalab-course) in JupyterLab."""
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


def progress(
    *folders: Annotated[Path, Parameter(help="working copies, or folders that hold them (supalab-course)")],
    watch: Annotated[bool, _option("print the table again every few seconds, until Ctrl-C")] = False,
) -> int:
    """Show which exercises are done: your own, or a table with a line for each working copy."""
    from supalab.course.attempts import attempts, copies_in, host_table, learner_text, short_names
    from supalab.course.copies import default
    from supalab.course.exercises import EXERCISES

    here = default()
    while True:
        copies = copies_in(folders or [here if here.is_dir() else Path()])
        found = dict(zip(short_names(copies), map(attempts, copies), strict=True))
        alone = not watch and len(copies) == 1 and len(folders) <= 1
        said = learner_text(attempts(copies[0]), [*EXERCISES]) if alone else ""
        sys.stdout.write(f"{said or host_table(found, [*EXERCISES], datetime.now(UTC))}\n")
        if not watch:
            return 0
        sys.stdout.write("\n")
        sys.stdout.flush()
        time.sleep(WATCH_S)


def agent(
    *,
    client: Annotated[str, _option("fake, article, real, or an arm such as fake-10 (real)")] = "real",
    lab: Annotated[bool, _option("on a lab of its own (default without an address)")] = False,
    latency: Annotated[float | None, _option(f"seconds that lab takes ({LAB_LATENCY_S})")] = None,
    url: Annotated[str | None, _option("on a real project (default: $SUPABASE_URL, else a lab)")] = None,
    key: Annotated[str | None, _option(KEY)] = None,
    rest_path: Annotated[str, _option(REST_PATH)] = "/rest/v1",
    timeout: Annotated[float | None, _option("seconds the client waits for the backend (5)")] = None,
    host: Annotated[str, _option("address to listen on; 0.0.0.0 in a container (127.0.0.1)")] = "127.0.0.1",
    port: Annotated[int | None, _option("default: the environment's PORT, else a free one")] = None,
) -> int:
    """Serve a contest agent in the foreground until Ctrl-C or SIGTERM, then finish what is in flight.

    Its address, and its lab's, go to standard output; a log line for each request goes to standard error. A second
    Ctrl-C ends it at once, with 130.
    """
    from supalab.contest_agent.options import TIMEOUT_S, AgentOptions
    from supalab.process.tuning import on_signals

    address = _backend(url, key, latency, lab=lab)

    def options(url: str, key: str | None) -> AgentOptions:
        settings = Settings(url, key, timeout=TIMEOUT_S if timeout is None else timeout, rest_path=rest_path)
        return AgentOptions(client, settings, host, _port(port))

    ending, announced = Event(), Event()

    def end() -> None:
        if ending.is_set() or not announced.is_set():
            ending.set()
            raise KeyboardInterrupt
        ending.set()

    try:
        with on_signals(end), ExitStack() as stack:
            if address is None:
                from supalab.lab.handle import Lab

                options("http://127.0.0.1", None)  # checked before a lab is started, whose address is not known yet
                backend = stack.enter_context(Lab(latency=LAB_LATENCY_S if latency is None else latency))
                _serve_agent(options(backend.url, backend.key), announced, ending)
            else:
                _serve_agent(options(address, key or os.environ.get("SUPABASE_KEY") or None), announced, ending)
    except KeyboardInterrupt:
        if announced.is_set():
            raise
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
    factory: Annotated[str, _option("module:factory, called with (url, key) or without arguments")],
    /,
    *,
    method: Annotated[str | None, _option("the client's method that makes a request (select)")] = None,
    args: Annotated[list[str] | None, Parameter(consume_multiple=True), _option("its arguments (contests)")] = None,
    json: Record = None,
    figure: Figure = None,
) -> int:
    """Find out what a client of yours really is. Every verdict is a success."""
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


def record(
    *,
    only: Annotated[str | None, _option("some of it, e.g. race,claims (default: all; --list names them)")] = None,
    list: Annotated[bool, _option("say what there is and how long each takes; measure nothing")] = False,
    compare: Annotated[bool, _option("measure and compare with the record; write nothing")] = False,
    into: Annotated[Path | None, _option("where to write (data/reference of the checkout)")] = None,
) -> int:
    """Measure all reference material again; each part is written when it is finished."""
    from supalab import reference

    chosen = reference.chosen(None if only is None else [name.strip() for name in only.split(",")])
    if list:
        sys.stdout.write(reference.listed(chosen))
        return 0
    reference.measured(chosen, into, compare=compare)
    return 0


#: The commands that are no experiments: what they do, and an example.
OTHERS: Mapping[str, tuple[Any, str, str]] = {
    "probe": (probe, "Find out what a client of yours really is.", "probe my_client:make"),
    "agent": (agent, "Serve contest-agent, a service that runs on any of the clients.", "agent --client fake-10"),
    "serve": (
        serve,
        "Serve a lab: a backend with PostgREST's API.",
        "serve --data contests.csv",
    ),
    "record": (record, "Measure all reference material again, or compare it.", "record --only race --compare"),
    "course": (course, "Open the course in JupyterLab, in a working copy of your own.", "course my-folder"),
    "progress": (progress, "Show which exercises are done, for a learner or for a host.", "progress --watch shared/"),
}
