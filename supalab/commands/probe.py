"""What ``supalab probe`` does: the name of a factory flows in; a verdict, a record and an exit code flow out."""

from __future__ import annotations

import argparse
import asyncio
import difflib
import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supalab.commands.output import ProgressBar, check_outputs, draw, keep
from supalab.errors import SettingsError

if TYPE_CHECKING:
    from supalab.lab.handle import Lab
    from supalab.probe import Verdict

__all__ = ["add_probe", "probe"]

STEPS = 5
EXAMPLE = "supalab probe my_client:make, where my_client.py has `def make(url, key): return MyClient(url, key)`"


def add_probe(parser: argparse.ArgumentParser) -> None:
    """Give the parser the command's words."""
    parser.set_defaults(run=probe)
    parser.add_argument(
        "factory",
        metavar="module:factory",
        help="what makes the client, called with (url, key) or without arguments; the probe sets SUPABASE_URL and "
        "SUPABASE_KEY",
    )
    parser.add_argument("--method", metavar="NAME", help="the client's method that makes a request (select)")
    parser.add_argument("--args", nargs="*", metavar="TEXT", help="what it is called with (contests)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the verdict and all that was seen")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw who waited for the requests")


def probe(options: argparse.Namespace) -> int:
    """Probe the client in a fresh lab; print the verdict, write the record. Every verdict is a success."""
    from supalab.lab.handle import Lab

    if options.figure is not None:
        from supalab.report.plot import check_suffix

        check_suffix(options.figure)
    check_outputs(options.json, options.figure)
    module, name = _parted(options.factory)
    with ProgressBar("steps") as tell, Lab() as lab, _environment(lab), _importable():
        verdict = asyncio.run(_probed(_found(module, name), lab, options, tell))
    _report(verdict, options.json, options.figure)
    return 0


async def _probed(what: Any, lab: Lab, options: argparse.Namespace, tell: Any) -> Verdict:
    from supalab.measure.race import Progress
    from supalab.probe import probe

    return await probe(
        what, lab=lab, in_environment=True, method=options.method, args=options.args, name=options.factory,
        progress=lambda share, doing: tell(Progress(share, doing, round(share * STEPS), STEPS)),
    )  # fmt: skip


def _parted(words: str) -> tuple[str, str]:
    module, colon, name = words.partition(":")
    if module.endswith(".py") or "/" in module or "\\" in module:
        raise SettingsError(f"{words!r} names a file: give the module instead, from its folder, e.g. {EXAMPLE}")
    if not colon or not module or not name:
        raise SettingsError(f"{words!r} is not module:factory: e.g. {EXAMPLE}")
    return module, name


def _found(module: str, name: str) -> Any:
    """Import what was named; raises SettingsError that says what is not there."""
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module and not module.startswith(f"{error.name}."):
            raise SettingsError(f"module {module!r} needs {error.name!r}, which is not installed here") from error
        raise SettingsError(f"there is no module {module!r} in this folder, nor installed: e.g. {EXAMPLE}") from None
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
def _environment(lab: Lab) -> Iterator[None]:
    """Put the lab's url and key where clients look for them, and put back what was there."""
    ours = {"SUPABASE_URL": lab.url, "SUPABASE_KEY": lab.key}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _importable() -> Iterator[None]:
    """Let the current folder be imported from, as ``python -m`` does."""
    before = list(sys.path)
    sys.path.insert(0, str(Path.cwd()))
    try:
        yield
    finally:
        sys.path[:] = before


def _report(verdict: Verdict, record: Path | None, figure: Path | None) -> None:
    from supalab.probe import VERDICT
    from supalab.report.table import WIDTH, show

    keep(verdict, VERDICT, record)
    show(verdict.tables(), at_most=WIDTH)
    if figure is not None:
        from supalab.figures.evidence import evidence

        draw(evidence(verdict), figure)
