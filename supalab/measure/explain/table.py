"""The tables of an explanation: what each change saved, over all and by link, with a sentence for each."""

from __future__ import annotations

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
from supalab.report.table import Cell, Content, Table

__all__ = ["tables"]

LINK_UNIT = "Milliseconds by which a request holds its slot for less, by link (20 ms: its round trip)"
LINK_SIGNS = "~: not to be told from noise, -: not measured"
COLUMNS = (
    "before\ns",
    "after\ns",
    "earned s\nmedian (lowest..highest)",
    "of the\nwhole",
    "CPU ms/request\nbefore -> after",
)


def tables(found: Explanation) -> list[Table]:
    """Return the factors' table and, if links were measured, that of the links."""
    return [_steps(found), *([_links(found)] if found.links else []), Table((), (), notes=_failed(found))]


def _failed(found: Explanation) -> list[Cell]:
    return [Cell(line, "bad") for line in failures(found)]


def _notes(found: Explanation) -> list[str]:
    return [] if found.finished else [f"Interrupted: what counts is finished rounds, {found.rounds} of them."]


def _steps(found: Explanation) -> Table:
    """A factor a row, its arms under it; after the article's factors its own step, at the end the whole."""
    whole, rows = found.whole, list[list[Content]]()
    for place, step in enumerate(found.steps):
        if place == ARTICLE_FACTORS:
            rows += _total("= the article's step", whole.before, whole.article, found.article_remainder_s, found)
        rows += _rows(step, found)
    rows += _total("= the way to ours", whole.before, whole.ours, found.remainder_s, found)
    notes = [f"- {sentence(step, found)}" for step in found.steps]
    notes += ["", *sums(found), cpu_line(found), *_notes(found)]
    return Table(["factor", *COLUMNS], rows, headline=headline(found), about=[about(found)], notes=notes)


def _rows(step: Step, found: Explanation) -> list[list[Content]]:
    share = found.share(step)
    cpu = f"{step.before.cpu:.2f} -> {step.after.cpu:.2f}"
    part = "" if share is None else f"{share:.1%}"
    ends = (_seconds(step.before), _seconds(step.after))
    arms = Cell(f"{step.before.arm} -> {step.after.arm}", "dim", 2)
    return [[step.change, *ends, _spread(found.seconds(step)), part, cpu], [arms]]


def _total(name: str, before: Side, after: Side, left: float, found: Explanation) -> list[list[Content]]:
    """The way measured at once, and below it what the factors above leave of it."""
    got = earned(before, after)
    shares = [f"{part / found.earned_s:.1%}" if found.earned_s > 0 else "" for part in (got.middle, left)]
    cpu = f"{before.cpu:.2f} -> {after.cpu:.2f}"
    whole = (name, _seconds(before), _seconds(after), _spread(got), shares[0], cpu)
    rest = ("  not explained by the factors", "", "", f"{left:+.3f}", shares[1])
    return [[Cell(cell, "bold") for cell in whole], [Cell(cell, "dim") for cell in rest]]


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
    rows: list[list[Content]] = []
    for key in dict.fromkeys(step.factor for step in found.links):
        steps = {step.link: step for step in found.links if step.factor == key}
        change = next(iter(steps.values())).change
        rows.append([change, *(_link_cell(steps.get(name), found) for name in names)])
    notes = [LINK_SIGNS, "", *(f"- {line}" for line in link_lines(found))]
    said = [LINK_UNIT, link_about(found)]
    return Table(["factor", *names], rows, headline=link_headline(found), about=said, notes=notes)


def _link_cell(step: LinkStep | None, found: Explanation) -> str:
    """``+84``; what noise could have made has a tilde, what was not measured is a dash."""
    if step is None:
        return "-"
    got = found.slot_ms(step)
    return f"{'' if got.told else '~'}{got.middle:+.0f}"
