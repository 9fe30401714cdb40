"""The experiments: each has a plan of what to run, and shows its record as headline, notes, tables and figures.

How to make one, in a module of its own (``throughput`` is a good example):

1. ``plan(…)``: a generator that yields a ``Case`` for each thing to run and is sent its ``Trial``. Its arguments are
   those of the experiment's command, and what its docstring says of them under ``Args`` is the command's help; it
   checks them first and raises SettingsError.
2. ``headline(record)``, ``notes(record)``: what the record says, in one line and in a list of sentences.
3. ``tables(record)``, ``figures``: the tables, and the figures by name. Both begin with ``record.rows`` (a DataFrame, a
   row for each trial), with ``measure.record.medians`` of such rows, or with ``record.trials``. ``Table.of`` makes a
   table of a DataFrame. ``report.plot.sheet`` begins a figure with its title, its foot and its description, which is
   the headline and the notes; ``against`` there draws lines over limits. Neither is called for a record without trials.
4. ``EXPERIMENT = Experiment(NAME, ABOUT, plan, headline, …)`` at the end of the module, and an entry in ``MODULES``.
5. A function of the experiment's name that calls ``EXPERIMENT.run(lab=…, progress=…, **asked)``, for users.

A new number of a trial is described in ``data/reference/README.md``. A new job of the worker is a function and an
entry in ``measure.worker.JOBS``; one that keeps services up between cases has an entry in ``measure.run.ELSEWHERE``
instead. Savings and noise come from ``measure.compare``, numbers in words from ``report.format``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from supalab.errors import TrialError
from supalab.measure.record import SHOWN_BY, Record
from supalab.report.table import Table, Tables
from supalab.shipped import shipped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from supalab.measure.run import Plan

__all__ = ["MODULES", "Experiment", "drawn_by", "experiment", "recorded"]

#: Every experiment by the name of its record, with its module, in the order of ``supalab record``.
MODULES: Mapping[str, str] = {
    "race": "race",
    "bench": "bench",
    "explain": "explain",
    "memory": "memory",
    "lag": "lag",
    "cancel": "cancellation",
    "throughput": "throughput",
    "claims": "claims",
    "detective": "detective",
    "load": "load",
    "capacity": "capacity",
    "faults": "faults",
}


@dataclass(frozen=True)
class Experiment:
    """One experiment: its plan, and the functions that present its record.

    ``about``: what it measures, in a few words. ``figures``: by the name of their file in ``data/reference``; the
    first one is the record's own. ``compared``: the numbers by which two records are compared, counts and ratios first.
    ``full``: the plan's arguments for a reference record; ``quick``: for a first look. ``checked``: send one request
    first, because the table and the backend may be the user's own.
    """

    name: str
    about: str
    plan: Callable[..., Plan]
    headline: Callable[[Record], str]
    notes: Callable[[Record], list[str]]
    tables: Callable[[Record], Table | Iterable[Table]]
    figures: Mapping[str, Callable[[Record], Figure]] = field(default_factory=dict)
    compared: Callable[[Record], Mapping[str, float]] = lambda _: {}
    full: Mapping[str, Any] = field(default_factory=dict)
    quick: Mapping[str, Any] = field(default_factory=dict)
    checked: bool = False

    def run(self, **asked: Any) -> Record:
        """Run the plan and return its record.

        ``asked``: the plan's arguments, and ``lab``, ``settings`` and ``progress``; they and the errors are those of
        ``measure.run.run``.
        """
        from supalab.measure.run import run

        return run(self.plan, name=self.name, checked=self.checked, **asked)

    def expected_s(self, **asked: Any) -> float:
        """Return how many seconds the plan with these arguments should take on a quiet machine."""
        from supalab.measure.run import expected_s

        return expected_s(self.plan(**asked))

    def table(self, record: Record) -> Tables:
        """Return all tables of a record as one value, which displays itself."""
        if not record.trials:
            return Tables([Table((), (), empty="No trial was finished.")])
        made = self.tables(record)
        return Tables([made] if isinstance(made, Table) else made)

    def figure(self, record: Record, name: str = "") -> Figure:
        """Return the first figure of a record, or another by its name; raises TrialError if there is none."""
        chosen = name or next(iter(self.figures), "")
        if chosen not in self.figures:
            raise TrialError(f"{self.name} has no figure {chosen!r}: there are {', '.join(self.figures) or 'none'}")
        if record.trials:
            return self.figures[chosen](record)
        from supalab.report.plot import nothing

        return nothing("Nothing was measured")


def experiment(name: str) -> Experiment:
    """Return the experiment of this name; raises TrialError if there is none."""
    if name not in MODULES:
        raise TrialError(f"no experiment is called {name!r}: there are {', '.join(MODULES)}")
    found: Experiment = import_module(f"supalab.experiments.{MODULES[name]}").EXPERIMENT
    return found


def drawn_by(module: str, name: str) -> Callable[[Record], Figure]:
    """Return a figure of another module of this package; the module and matplotlib are loaded when it is drawn."""

    def draw(record: Record) -> Figure:
        figure: Figure = getattr(import_module(f"supalab.experiments.{module}"), name)(record)
        return figure

    return draw


def recorded(name: str) -> Record:
    """Return the reference record of an experiment, such as ``recorded("race")``, from ``data/reference``.

    Raises SettingsError in an installation without a checkout, which has no such file.
    """
    return Record.load(shipped("data", "reference", f"{experiment(name).name}.json"), name)


SHOWN_BY[:] = [experiment]
