"""An explanation goes in, tables with a sentence for each factor come out: for a terminal (rich) or as plain text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import IO

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from supalab.measure import printed
from supalab.measure.explain.chain import ARTICLE_FACTORS, LINKS
from supalab.measure.explain.result import Earned, Explanation, LinkStep, Side, Step, earned
from supalab.measure.explain.words import (
    about,
    cpu_line,
    failures,
    headline,
    link_about,
    link_headline,
    link_lines,
    sentence,
    sums,
)
from supalab.measure.printed import WIDTH

__all__ = ["show", "text"]

LINK_UNIT = "Milliseconds by which a request holds its slot for less, by link (20 ms: its round trip)"
LINK_SIGNS = "~: not to be told from noise, -: not measured"
COLUMNS = (
    "before\ns",
    "after\ns",
    "earned s\nmedian (lowest..highest)",
    "of the\nwhole",
    "CPU ms/request\nbefore -> after",
)


def show(found: Explanation, file: IO[str] | None = None) -> None:
    """Print the tables: with colours to a terminal, as plain text of ``WIDTH`` columns to a pipe or a file."""
    printed.show(_all(found), file)


def text(found: Explanation, width: int = WIDTH) -> str:
    """Return tables and sentences as plain text, no line longer than ``width``."""
    return printed.plain(_all(found), width)


def _all(found: Explanation) -> Group:
    parts: list[RenderableType] = [Text(headline(found), "bold"), Text(about(found), "dim"), Text()]
    parts += [_steps(found), Text(), *_listed(sentence(step, found) for step in found.steps)]
    parts += [Text(), *(Text(line, "dim") for line in (*sums(found), cpu_line(found), *_notes(found)))]
    if found.links:
        parts += [
            Text(),
            Text(link_headline(found), "bold"),
            Text(LINK_UNIT, "dim"),
            Text(link_about(found), "dim"),
            _links(found),
            Text(LINK_SIGNS, "dim"),
        ]
        parts += [Text(), *_listed(link_lines(found))]
    return Group(*parts, *(Text(line, "bold red") for line in failures(found)))


def _listed(lines: Iterable[str]) -> list[RenderableType]:
    """Sentences with a dash, the next lines indented."""
    rows = []
    for line in lines:
        row = Table.grid(padding=(0, 1, 0, 0))
        row.add_row("-", Text(line))
        rows.append(row)
    return list(rows)


def _notes(found: Explanation) -> list[str]:
    return [] if found.finished else [f"Interrupted: what counts is finished rounds, {found.rounds} of them."]


def _grid(first: str, columns: Sequence[str], gap: int = 1) -> Table:
    grid = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False, header_style="bold")
    grid.add_column(f"\n{first}", no_wrap=True)
    for title in columns:
        grid.add_column(title, justify="right", no_wrap=True)
    return grid


def _steps(found: Explanation) -> Table:
    """A factor a row, its arms under it; after the article's factors its own step, at the end the whole."""
    grid, whole = _grid("factor", COLUMNS), found.whole
    for place, step in enumerate(found.steps):
        if place == ARTICLE_FACTORS:
            _total(grid, "= the article's step", whole.before, whole.article, found.article_remainder_s, found)
        _row(grid, step, found)
    _total(grid, "= the way to ours", whole.before, whole.ours, found.remainder_s, found)
    return grid


def _row(grid: Table, step: Step, found: Explanation) -> None:
    share = found.share(step)
    grid.add_row(
        step.change,
        _seconds(step.before),
        _seconds(step.after),
        _spread(found.seconds(step)),
        "" if share is None else f"{share:.1%}",
        f"{step.before.cpu:.2f} -> {step.after.cpu:.2f}",
    )
    grid.add_row(Text(f"  {step.before.arm} -> {step.after.arm}", "dim"))


def _total(grid: Table, name: str, before: Side, after: Side, left: float, found: Explanation) -> None:
    """The way measured at once, and below it what the factors above leave of it."""
    got = earned(before, after)
    shares = [f"{part / found.earned_s:.1%}" if found.earned_s > 0 else "" for part in (got.middle, left)]
    cpu = f"{before.cpu:.2f} -> {after.cpu:.2f}"
    cells = (name, _seconds(before), _seconds(after), _spread(got), shares[0], cpu)
    grid.add_row(*(Text(cell, "bold") for cell in cells))
    grid.add_row(*(Text(cell, "dim") for cell in ("  not explained by the factors", "", "", f"{left:+.3f}", shares[1])))


def _spread(got: Earned) -> str:
    digits = _digits(max(map(abs, (got.lowest, got.highest)))) + 1
    spread = f" ({got.lowest:+.{digits}f}..{got.highest:+.{digits}f})" if got.rounds > 1 else ""
    return f"{got.middle:+.{digits}f}{spread}"


def _seconds(side: Side) -> str:
    return f"{side.seconds:.{min(_digits(side.seconds) + 1, 2)}f}"


def _digits(number: float) -> int:
    """Decimals that leave room: two below ten, one below a hundred, then none."""
    return 2 - sum(number >= size for size in (9.9995, 99.995))


def _links(found: Explanation) -> Table:
    """A factor a row, a link a column."""
    names = [link.name for link in LINKS if any(step.link == link.name for step in found.links)]
    grid = _grid("factor", [f"\n{name}" for name in names], gap=2)
    for key in dict.fromkeys(step.factor for step in found.links):
        steps = {step.link: step for step in found.links if step.factor == key}
        change = next(iter(steps.values())).change
        grid.add_row(change, *(_link_cell(steps.get(name), found) for name in names))
    return grid


def _link_cell(step: LinkStep | None, found: Explanation) -> str:
    """``+84``; what noise could have made has a tilde, what was not measured is a dash."""
    if step is None:
        return "-"
    got = found.slot_ms(step)
    return f"{'' if got.told else '~'}{got.middle:+.0f}"
