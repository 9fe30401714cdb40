"""Show sliders for a computed burst: a learner changes its limit and server time and sees how long it takes.

Without ipywidgets, and in a saved notebook that is not running, the table below the knobs shows six settings of the
same burst.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from supalab.measure.case import Span, Workload
from supalab.report.format import count, duration
from supalab.report.plot import INK, OTHER, Picture, sheet
from supalab.report.table import Table
from supalab.settings import checked_number

#: More bars than a screen has room for.
MOST = 1000
#: The range of the slider for the server time, in milliseconds, and its step.
LOW_MS, HIGH_MS, STEP_MS = 50, 500, 10
COMPUTED = "Computed from the server time alone."
NO_KNOBS = "There are no knobs here, because ipywidgets is not installed in this kernel: pip install ipywidgets."
ASLEEP = "The knobs work after you have run this cell in JupyterLab. The table below shows six settings without them."


@dataclass(frozen=True, slots=True)
class Setting:
    """A burst of ``requests``, ``limit`` at a time, that take ``latency`` seconds each at the server.

    Raises SettingsError for impossible values.
    """

    requests: int
    limit: int
    latency: float

    def __post_init__(self) -> None:
        checked_number("requests", self.requests, 2, MOST, "give e.g. 60")
        checked_number("limit", self.limit, 1, MOST, "give e.g. 3")
        checked_number("latency", self.latency, 0.001, 30, "give e.g. 0.15 for 150 ms", "seconds")

    @property
    def makespan_s(self) -> float:
        """Seconds from the first request to the last response, if only the server time counts."""
        return Workload(self.requests, self.latency).ideal_s(self.limit) or 0.0

    @property
    def waves(self) -> int:
        """How many requests the busiest slot serves, one after another."""
        return math.ceil(self.requests / self.limit)

    @property
    def spans(self) -> tuple[Span, ...]:
        """The requests of the burst: all are asked for at once and served in waves."""
        starts = (place // self.limit * self.latency for place in range(self.requests))
        return tuple(Span(0.0, start, start + self.latency) for start in starts)

    @property
    def rest(self) -> str:
        """Describe the remainder: requests in a last wave that is not full, or slots that are never used."""
        if self.limit > self.requests:
            return f"{count(self.limit - self.requests, 'slot')} never used"
        last = self.requests % self.limit
        return f"the last one has {count(last, 'request')}" if last else ""

    def __str__(self) -> str:
        rest = f"; {self.rest}" if self.rest else ""
        each = f"{self.limit} at a time, {duration(self.latency)} each"
        return f"{each}: {count(self.waves, 'wave')}{rest}, done after {duration(self.makespan_s)}"


class Panel:
    """The result of ``turn_the_knobs``: sliders over a chart, and below them a table of six settings.

    ``setting``: the current values of the sliders. ``fields``: the widgets by the part of the setting that they change.
    """

    def __init__(self, start: Setting) -> None:
        self.start = self.setting = start
        self.most = min(max(start.limit, start.requests + max(start.requests // 3, 1)), MOST)
        self.fields: Mapping[str, Any] = {}
        self._view: Any = None

    def turn(self, part: str, value: Any) -> None:
        """Set ``"limit"``, or ``"latency"`` in seconds, and draw again."""
        self.setting = replace(self.setting, **{part: value})
        if self._view is not None:
            self._view.value = self.picture().html()

    def picture(self) -> Picture:
        """Draw the burst of the setting now; dashed: when it was done at the start."""
        now, ended = self.setting, self.start.makespan_s
        starts, lanes = [span.started or 0.0 for span in now.spans], [at % now.limit for at in range(now.requests)]
        edge = "white" if now.limit <= 20 else "none"
        about = f"{COMPUTED} Each row is a slot, each bar a request; dashed: the end before you changed it."
        words = [f"Timeline. {COMPUTED} {count(now.requests, 'request')}, {now}."]
        with sheet(str(now), about, words, (1, 1), 2.4, head_in=1.1, foot_in=0.7) as (fig, (ax,)):
            ax.barh(lanes, now.latency, 0.84, starts, color=OTHER, edgecolor=edge, linewidth=1.0)
            ax.axvline(ended, color=INK, linestyle=(0, (4, 3)), linewidth=1.2)
            ax.set(xlim=(0, 1.02 * max(ended, now.makespan_s)), ylim=(now.limit - 0.4, -0.6), yticks=[])
            ax.set_xlabel("seconds")
            ax.grid(visible=True, axis="x")
        assert isinstance(fig, Picture)
        return fig

    def settings(self) -> Table:
        """Return a table of six settings of the burst, which show the same as the knobs."""
        start, n = self.start, self.start.requests
        limits = (math.ceil(n / 2), max(n - 1, 1), n, self.most)
        shown = [start, replace(start, latency=2 * start.latency), *(replace(start, limit=limit) for limit in limits)]
        rows = [
            [str(one.limit), duration(one.latency), str(one.waves), duration(one.makespan_s), one.rest] for one in shown
        ]
        title = "Twice the server time is twice the total time. A limit of n - 1 is as slow as n / 2."
        columns = ["limit", "server time", "waves", "total time", ""]
        return Table(columns, rows, headline=title, notes=[f"{n} requests at once. {COMPUTED}"])

    def widget(self) -> Any:
        """Return the knobs and their chart as one widget."""
        import ipywidgets as widgets  # type: ignore[import-untyped]

        at = round(1000 * self.setting.latency)
        rows = {
            "limit": _knob(widgets, "limit", self.setting.limit, 1, self.most, 1),
            "latency": _knob(widgets, "server time (ms)", at, min(at, LOW_MS), max(at, HIGH_MS), STEP_MS),
        }
        self.fields = {part: row.children[0] for part, row in rows.items()}
        self.fields["limit"].observe(lambda change: self.turn("limit", change["new"]), "value")
        self.fields["latency"].observe(lambda change: self.turn("latency", change["new"] / 1000), "value")
        self._view = widgets.HTML(self.picture().html())
        return widgets.VBox([widgets.HBox([*rows.values()], layout={"flex_flow": "row wrap"}), self._view])

    def _ipython_display_(self) -> None:
        from IPython.display import display

        try:
            words = {"text/plain": ASLEEP, "text/html": f"<p>{ASLEEP}</p>"}
            display({**self.widget()._repr_mimebundle_(), **words}, raw=True)  # type: ignore[no-untyped-call]
        except ImportError:
            sys.stdout.write(f"{NO_KNOBS}\n")
        display(self.settings())  # type: ignore[no-untyped-call]  # a separate output, because it outlives the knobs


def _knob(widgets: Any, label: str, value: int, low: int, high: int, step: int) -> Any:
    """A number field with a slider for the mouse; the two are linked in the browser.

    The field is for the keyboard: JupyterLab's command mode takes the arrow keys from a slider.
    """
    about: dict[str, Any] = {"value": value, "min": low, "max": high, "step": step}
    field = widgets.BoundedIntText(description=label, style={"description_width": "initial"}, **about)
    slider = widgets.IntSlider(readout=False, **about)
    box = widgets.HBox([field, slider], layout={"margin": "0 1.5em 0 0"})
    box.link = widgets.jslink((slider, "value"), (field, "value"))  # must live as long as the box
    return box


def turn_the_knobs(requests: int = 60, *, limit: int = 3, latency: float = 0.15) -> Panel:
    """Return knobs for a burst's limit and server time (``latency``: seconds; milliseconds on the knob).

    Raises SettingsError for impossible values.
    """
    return Panel(Setting(requests, limit, latency))
