"""Claims: test which of the article's statements hold on this machine, and why.

Each claim of ``data/claims.csv`` names the experiments that it needs and the rule that judges it (``claims_rules``). A
quick run is smaller: its times are divided by a factor, it sends fewer requests, and its numbers are scaled back before
they are judged.
"""

from __future__ import annotations

import csv
import io
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from supalab.clients.arms import arm
from supalab.errors import SettingsError, TrialError
from supalab.experiments import Experiment
from supalab.experiments import claims_rules as rules
from supalab.experiments.claims_facts import EXPECTED_S
from supalab.measure.case import Case, Workload
from supalab.measure.record import Record, each
from supalab.measure.run import Plan
from supalab.measure.service import case_of
from supalab.measure.traffic import Traffic
from supalab.report import files
from supalab.report.plot import INK, MARGIN_IN, MUTED, WIDTH_IN, label, not_seen, sheet
from supalab.report.table import Cell, Column, Content, Table
from supalab.shipped import shipped_text

NAME, ABOUT = "claims", "every claim of the article with its verdict"
COLUMNS = ("id", "section", "claim", "figure", "unit", "experiment", "rule", "note")
#: The experiments that can test a claim: races, single facts, a service under load, or none.
EXPERIMENTS = ("burst", "far", "wide", "reuse", "facts", "production", "none")
#: The rule of a claim that no experiment here can decide; its note says why.
UNTESTABLE = "untestable"
#: The article's response time before, and a round trip: three of them make this time, and one makes the time after.
BEFORE_S, FAR_RTT_S = 0.45, 0.15
# Small enough for a minute in all; large enough that the work for a request (a few milliseconds) is far below its
# latency.
QUICK_REQUESTS, QUICK_BURST, QUICK_FAR = 50, 2.0, 3.0
QUICK_NOTE = "Quick: fewer requests and shorter times; the numbers are scaled back, so trust ratios."
#: Each verdict in the plural, its mark and style in a table, its marker and colour in a figure: shapes differ as well.
LOOKS: Mapping[rules.Verdict, tuple[str, str, str, str, str]] = {
    rules.HOLDS: ("hold", "●", "good", "o", "#1d4f91"),
    rules.OTHER: ("hold for another reason", "◆", "other", "D", "#f0a02f"),
    rules.NOT: ("do not hold", "✕", "bad", "X", "#b3446c"),
    rules.CANNOT: ("cannot be tested here", "○", "dim", "o", "white"),
}
# Each claim with a figure has a row; the axis has these multiples of the article's number at its ends.
ROW_IN, LEAST, MOST, LONGEST = 0.27, 0.03, 33.0, 46


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim in our words, with the article's number if it has one, and the experiments and rule that test it.

    ``experiment`` has the names of what must run for it, with spaces between them, ``rule`` the name of its rule;
    ``note`` gives the reason if no experiment can test it.
    """

    id: str
    section: str
    claim: str
    figure: float | None
    unit: str
    experiment: str
    rule: str
    note: str = ""

    @property
    def stated(self) -> str:
        """Return the article's figure with its unit, ``""`` if there is none."""
        space = "" if self.unit in {"x", "/s"} else " "
        return "" if self.figure is None else f"{self.figure:g}{space}{self.unit}".strip()

    def judged(self, evidence: rules.Evidence) -> rules.Judgement:
        """Judge it by its rule."""
        if self.rule == UNTESTABLE:
            return rules.Judgement(rules.CANNOT, "", self.note)
        return rules.judge(self.rule, self.figure, evidence)


def catalogue(path: str | Path | None = None) -> tuple[Claim, ...]:
    """Read the claims of a table (``data/claims.csv``); raises SettingsError, in one line, for any other file."""
    name = Path(path or "claims.csv").name
    rows = csv.DictReader(
        io.StringIO(files.read(path, "a spreadsheet or a text editor") if path else shipped_text("data", name))
    )
    if tuple(rows.fieldnames or ()) != COLUMNS:
        raise SettingsError(f"{name} has columns {rows.fieldnames}: they must be {', '.join(COLUMNS)}")
    found = [_claim(row, f"{name}, line {number}") for number, row in enumerate(rows, 2)]
    if not found:
        raise SettingsError(f"{name} has no claims: write one in each line")
    for ident, times in Counter(claim.id for claim in found).items():
        if times > 1:
            raise SettingsError(f"{name} has {times} claims {ident!r}: give each an id of its own")
    return tuple(found)


def _claim(row: dict[str, Any], where: str) -> Claim:
    if None in row.values() or None in row:
        raise SettingsError(f"{where}: not one field for each column: quote what holds a comma")
    try:
        figure = float(row["figure"]) if row["figure"] else None
    except ValueError:
        raise SettingsError(f"{where}: figure {row['figure']!r} is not a number") from None
    if not row["experiment"] or not set(row["experiment"].split()) <= set(EXPERIMENTS):
        raise SettingsError(f"{where}: experiment {row['experiment']!r}: use one or some of {', '.join(EXPERIMENTS)}")
    if row["rule"] not in {*rules.rules(), UNTESTABLE}:
        raise SettingsError(f"{where}: rule {row['rule']!r}: use one of {', '.join(rules.rules())}, {UNTESTABLE}")
    return Claim(**{**row, "figure": figure})


def plan(*, quick: bool = False, claims: str | None = None) -> Plan:
    """Run what the claims of a table need: bursts under several conditions, facts, a service.

    Raises SettingsError for a file that is not such a table.

    Args:    quick: fewer requests and shorter times (less than a minute), without the service    claims: another table
    of claims (default: data/claims.csv)
    """
    needed = {name for claim in catalogue(claims) for name in claim.experiment.split()}
    # As many callers as slots: a request that only waits for its slot would count as memory in flight.
    hundred = Workload(200 if quick else 400, 0.15, callers=100)
    few = Workload(rules.REQUESTS, 0.03 if quick else 0.05)
    races: Mapping[str, Plan] = {
        "burst": burst(quick, ("fake-3", "fake-10", "article-10", "real-3")),
        "far": far(quick, ("fake-3", "session-3")),
        "wide": bursts("wide", ("fake-100", "kept-100", "real-100"), hundred),
        "reuse": bursts("reuse", ("fake-3", "session-3", "article-10", "kept-10"), few),
    }
    for name, race in races.items():
        if name in needed:
            yield from race
    if "facts" in needed:
        yield Case("article-10", few, "facts", tags={"experiment": "facts"}, options={"seconds": EXPECTED_S})
    if "production" in needed and not quick:
        # First idle; then a load of twice what three slots of 150 ms can handle, and well below what ten can.
        for name in ("fake-3", "article-10", "fake-10"):
            yield case_of(name, 0.15, Traffic(3.0, 40.0), tags={"experiment": "production"}, idle=2.0)


def bursts(experiment: str, arms: Sequence[str], load: Workload, scale: float = 1.0, **how: Any) -> Plan:
    """Yield one burst of each arm; ``scale``: what its times were divided by."""
    for name in arms:
        yield Case(name, load, "burst", tags={"experiment": experiment, "scale": scale}, **how)


def burst(quick: bool, arms: Sequence[str]) -> Plan:
    """Yield the article's table: 100 requests at once, 450 ms at the server. ``fake-10``, ``real-3`` are fair controls.

    The short trials of a quick run are made twice, because a stall of the machine is a large part of a one-second
    trial.
    """
    scale = QUICK_BURST if quick else 1.0
    load = Workload(QUICK_REQUESTS if quick else rules.REQUESTS, BEFORE_S / scale)
    yield from bursts("burst", arms, load, scale)
    if quick:
        yield from bursts("burst", ("fake-10", "article-10"), load, scale, repeat=1)


def far(quick: bool, arms: Sequence[str], small: float = QUICK_FAR) -> Plan:
    """Yield bursts of 100 requests over TLS with a round trip of 150 ms, no server time: what a new connection costs.

    ``small``: what times are divided by in a quick run. The number of requests stays: with fewer, the first ones, which
    open connections, would weigh too much.
    """
    scale = small if quick else 1.0
    conditions = {"rtt": FAR_RTT_S / scale, "tls": True}
    for name in arms:
        trips = 3 if name.startswith("fake") else 1
        seconds = {"seconds": trips * FAR_RTT_S / scale * rules.REQUESTS / arm(name).limit}
        yield from bursts("far", [name], Workload(rules.REQUESTS, 0.0), scale, conditions=conditions, options=seconds)


def verdicts(
    record: Record, names: Sequence[str] = (), *, experiment: str = "burst", scale: float = 1.0
) -> pd.DataFrame:
    """Judge the claims (all, or some by their ids): a row for each, with what was found and why.

    ``experiment`` and ``scale``: of trials of another record, such as a race whose server time was divided by 2.
    Raises TrialError for an id that no claim has.
    """
    evidence, chosen = rules.Evidence.of(record.trials, experiment, scale), catalogue(record.asked.get("claims"))
    if unknown := set(names) - {claim.id for claim in chosen}:
        raise TrialError(f"no claim {min(unknown)!r}: there are {', '.join(claim.id for claim in chosen)}")
    rows = [
        {**asdict(claim), "stated": claim.stated, **asdict(claim.judged(evidence))}
        for claim in chosen
        if claim.id in names or not names
    ]
    return pd.DataFrame(rows).set_index("id", drop=False)


def _counts(judged: pd.DataFrame) -> Mapping[rules.Verdict, int]:
    return {verdict: int((judged["verdict"] == verdict).sum()) for verdict in LOOKS}


def headline(record: Record) -> str:
    """Say how many claims hold as stated."""
    judged = verdicts(record)
    return f"{len(judged)} claims tested: {_counts(judged)[rules.HOLDS]} hold as stated"


def notes(record: Record) -> list[str]:
    """Say how many claims have each verdict, what "another reason" means, and how it was measured."""
    judged = verdicts(record)
    said = ", ".join(f"{number} {LOOKS[verdict][0]}" for verdict, number in _counts(judged).items())
    other = "it is as claimed, but the cause is not the one that the article names."
    every = [f"Of {len(judged)} claims {said}.", f"{LOOKS[rules.OTHER][1]} for another reason: {other}"]
    if record.asked.get("quick"):
        every += [QUICK_NOTE, "No service was put under load."]
    if not record.finished:
        every.append("Interrupted: claims whose experiments did not run are not tested.")
    return every


def table(record: Record) -> Table:
    """Return every claim with the article's figure, the value found here, a verdict and a sentence."""
    rows: list[list[Content]] = []
    for section, lines in groupby(each(verdicts(record)), key=lambda line: line.section):
        rows.append([Cell(f"\n{section}", "bold")])
        for line in lines:
            _, mark, style, *_ = LOOKS[line.verdict]
            claim = (Cell(line.claim), Cell(line.sentence, "dim", 2))
            rows.append([claim, line.stated, line.here, Cell(f"{mark} {line.verdict}", style)])
    widths = {"the article": 12, "here": 12, "verdict": 26}
    columns = [Column("claim, and what was found", wide=True), *(Column(name, width=w) for name, w in widths.items())]
    return Table(columns, rows, headline=headline(record), notes=notes(record))


def _with_figures(record: Record) -> list[Any]:
    """Return the verdicts of claims with a figure for which a value was found."""
    judged = verdicts(record)
    return list(each(judged[judged["figure"].notna() & judged["value"].notna()]))


def compared(record: Record) -> dict[str, float]:
    """Return the value found for each claim that has a figure."""
    return {f"claim {line.id}": line.value for line in _with_figures(record)}


def figure(record: Record) -> Figure:
    """Draw every verdict, and below each value found here over the article's, on a scale of ratios.

    A value of zero or below (such as memory that grew although it should shrink) is drawn at the left end of the scale
    with its number.
    """
    lines = _with_figures(record)
    rows_in = ROW_IN * max(len(lines), 1)
    size = "fewer requests, times scaled back" if record.asked.get("quick") else "measured at the article's size"
    band = f"grey band: within a factor of {rules.FACTOR:g} of the article's number"
    said = [f"{line.claim}: {line.stated} claimed, {line.here} here, {line.verdict}." for line in lines]
    about = f"{size}{'' if record.finished else ', interrupted'}; {band}"
    words = ["The results table of the claims.", notes(record)[0], *said]
    with sheet(
        headline(record), about, words, (2, 1), 1.0 + rows_in, head_in=1.0, foot_in=0.62, left=0.44, right=0.965,
        hspace=0.0, height_ratios=(1.0, rows_in),
    ) as (fig, (marks, rows)):  # fmt: skip
        _draw_verdicts(marks, _counts(verdicts(record)))
        _draw_values(rows, lines)
    return fig


def _mark(verdict: rules.Verdict, size: float) -> dict[str, Any]:
    *_, marker, face = LOOKS[verdict]
    edge = INK if verdict in {rules.CANNOT, rules.OTHER} else face
    shape = {"marker": marker, "markersize": size, "markeredgewidth": 1.1, "linestyle": "none"}
    return {**shape, "markerfacecolor": face, "markeredgecolor": edge}


def _draw_verdicts(ax: Axes, counts: Mapping[rules.Verdict, int]) -> None:
    """Draw a mark for every claim, in groups by verdict, with the number and the verdict's name under each group."""
    left = MARGIN_IN / WIDTH_IN
    ax.set_position((left, ax.get_position().y0 + 0.03, 0.965 - left, ax.get_position().height * 0.62))
    ax.axis("off")
    at = 0.0
    for verdict, number in counts.items():
        ax.plot([at + step for step in range(number)], [1] * number, **_mark(verdict, 7.5))
        said = f"{number} {LOOKS[verdict][0]}"
        ax.annotate(said, (at - 0.45, 1), xytext=(0, -24), textcoords="offset points", fontsize=10.5, color=INK)
        # A group is at least as wide as its name.
        at += max(number, len(said) * 0.42 + 0.1) + 2.2
    ax.set(xlim=(-0.6, max(at, 60.0)), ylim=(0, 1.6))


def _draw_values(ax: Axes, lines: Sequence[Any]) -> None:
    """Draw each value found here as a multiple of the article's; within the band, they count as the same."""
    if not lines:
        ax.set_xticks([])
        not_seen(ax, "no claim with a figure was tested")
        return
    ax.axvspan(1 / rules.FACTOR, rules.FACTOR, color="#e8edf3", zorder=0, linewidth=0)
    ax.axvline(1, color=MUTED, linewidth=1.2, zorder=1)
    for row, line in enumerate(lines):
        place = min(max(line.value / line.figure, LEAST), MOST / 1.3)
        ax.plot([1, place], [row, row], color="#c3cad2", linewidth=1.4, zorder=2)
        ax.plot([place], [row], zorder=3, **_mark(line.verdict, 8.5))
        # In the half where the mark is, so that no number crosses a line.
        label(ax, line.here, (place, row), (-9 if place < 1 else 9, 0), fontsize=10, color=INK, zorder=4)
    labels = [f"{textwrap.shorten(line.claim, LONGEST, placeholder='…')}: {line.stated}" for line in lines]
    ax.set_yticks(range(len(lines)), labels)
    ax.set(xscale="log", xlim=(LEAST / 5, MOST), ylim=(len(lines) - 0.4, -0.6))
    ax.set_xticks([0.03, 0.1, 0.3, 1, 3, 10, 30], ["1/30", "1/10", "1/3", "as claimed", "3x", "10x", "30x"])
    ax.minorticks_off()
    ax.tick_params(axis="y", length=0, labelsize=10)
    ax.grid(visible=True, axis="x")
    ax.set_xlabel("found here, as a multiple of the article's number", loc="left")


EXPERIMENT = Experiment(NAME, ABOUT, plan, headline, notes, table, {NAME: figure}, compared, quick={"quick": True})
claims = EXPERIMENT.run
