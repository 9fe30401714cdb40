"""Show sliders for a computed burst: a learner changes its limit and server time and sees how long it takes.

The knobs need ipywidgets. Without it, and in a saved notebook that is not running, the chart below the knobs shows six
settings of the same burst. ``at_the_lab`` measures what the knobs say.
"""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection

from supalab.clients.fake import FakeSupabaseAsync
from supalab.course.kernel import observe
from supalab.errors import SettingsError
from supalab.experiments.race_figure import in_lanes
from supalab.measure.case import Span
from supalab.measure.run import put_back
from supalab.report.format import count, duration
from supalab.report.plot import INK, OTHER, Picture, colour, panel_title, sheet

if TYPE_CHECKING:
    from supalab.lab.handle import Lab

__all__ = ["Panel", "Setting", "at_the_lab", "turn_the_knobs"]

#: More bars than a screen has room for.
MOST = 1000
#: The range of the slider for the server time, in milliseconds, and its step.
LOW_MS, HIGH_MS, STEP_MS = 50, 500, 10
#: A measured run that takes longer than this many seconds is shown while it runs.
LONG_S = 5.0
COMPUTED = "Computed from the server time alone."
NO_KNOBS = "There are no knobs here, because ipywidgets is not installed in this kernel: pip install ipywidgets."
ASLEEP = "The knobs work after you have run this cell in JupyterLab. The chart below shows six settings without them."


@dataclass(frozen=True, slots=True)
class Setting:
    """A burst of ``requests``, ``limit`` at a time, that take ``latency`` seconds each at the server.

    Raises SettingsError for a burst that cannot be.
    """

    requests: int
    limit: int
    latency: float

    def __post_init__(self) -> None:
        for name, least in (("requests", 2), ("limit", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MOST:
                raise SettingsError(f"{name} is {value!r}: give a whole number from {least} to {MOST}")
        value = self.latency
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
            raise SettingsError(f"latency is {value!r}: give seconds above 0 (150 ms is 0.15)")

    @property
    def waves(self) -> int:
        """How many requests the busiest slot serves, one after another."""
        return math.ceil(self.requests / self.limit)

    @property
    def makespan_s(self) -> float:
        """Seconds from the first request to the last response, if only the server time counts."""
        return self.waves * self.latency

    @property
    def spans(self) -> tuple[Span, ...]:
        """Each request of the burst: all are asked for at once and served in waves."""
        starts = (place // self.limit * self.latency for place in range(self.requests))
        return tuple(Span(0.0, start, start + self.latency) for start in starts)

    def __str__(self) -> str:
        last = self.requests - (self.waves - 1) * self.limit
        if self.limit > self.requests:
            wave = f"; {count(self.limit - self.requests, 'slot')} never used"
        else:
            wave = f"; the last one has {count(last, 'request')}" if last < self.limit else ""
        each = f"{self.limit} at a time, {duration(self.latency)} each"
        return f"{each}: {count(self.waves, 'wave')}{wave}, done after {duration(self.makespan_s)}"


class Panel:
    """The result of ``turn_the_knobs``: sliders over a chart, and below them the chart of six settings.

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
        """Draw the burst of the setting now, and the makespan at every limit; dashed: as it was at the start."""
        now, start = self.setting, self.start
        words = [f"Timeline. {COMPUTED} {count(now.requests, 'request')}, {now}."]
        shape: dict[str, Any] = {"foot_in": 0.7, "width_ratios": (2, 1), "wspace": 0.16}
        with sheet(str(now), COMPUTED, words, (1, 2), 2.4, **shape) as (fig, (left, right)):
            _bars(left, now.spans, now.limit, OTHER)
            left.set(xlim=(0, 1.02 * max(now.makespan_s, start.makespan_s)), xlabel="seconds")
            left.axvline(start.makespan_s, color=INK, linestyle=(0, (4, 3)), linewidth=1.2)
            panel_title(left, "The burst", "each row is a slot, each bar a request")
            limits = range(1, self.most + 1)
            for one, line in ((start, "--"), (now, "-")):
                right.step(limits, [replace(one, limit=at).makespan_s for at in limits], line, where="mid", color=INK)
            right.plot([now.limit], [now.makespan_s], "o", color=INK)
            right.set(yscale="log", xlabel="limit")
            right.yaxis.set_major_formatter("{x:g}")
            panel_title(right, "Makespan", "seconds, at every limit")
        assert isinstance(fig, Picture)
        return fig

    def settings(self) -> Picture:
        """Draw six settings of the burst on one time axis: what the knobs are there to show, without a knob."""
        start, n = self.start, self.start.requests
        limits = (start.limit, start.limit, -(-n // 2), max(n - 1, 1), n, self.most)
        shown = [replace(start, limit=limit) for limit in limits]
        shown[1] = replace(start, latency=2 * start.latency)
        title = "Twice the server time is twice the makespan. A limit of n - 1 is as slow as n / 2."
        about, words = f"{n} requests at once. {COMPUTED}", [f"Six timelines of {n} requests. {COMPUTED} {title}"]
        words += [f"{'. '.join(map(str, shown))}."]
        with sheet(title, about, words, (2, 3), 3.2, foot_in=0.5, hspace=0.75, wspace=0.1) as (fig, axes):
            for ax, one in zip(axes, shown, strict=True):
                _bars(ax, one.spans, one.limit, OTHER)
                ax.set(xlim=(0, 1.02 * max(each.makespan_s for each in shown)))
                name = f"{one.limit} at a time, {duration(one.latency)} each"
                ax.set_title(
                    f"{name}\n{count(one.waves, 'wave')}, {duration(one.makespan_s)}", fontsize=9.5, loc="left"
                )
        assert isinstance(fig, Picture)
        return fig

    def widget(self) -> Any:
        """Return the knobs over their chart as one widget, ``None`` where there is no ``ipywidgets``."""
        try:
            import ipywidgets as widgets  # type: ignore[import-untyped]
        except ImportError:
            return None
        if self._view is None:
            self._view = widgets.HTML()
            at = round(1000 * self.setting.latency)
            self.fields = {
                "limit": _number(widgets, "limit", self.setting.limit, 1, self.most, 1),
                "latency": _number(widgets, "server time (ms)", at, min(at, LOW_MS), max(at, HIGH_MS), STEP_MS),
            }
            self.fields["limit"].observe(lambda change: self.turn("limit", change["new"]), "value")
            self.fields["latency"].observe(lambda change: self.turn("latency", change["new"] / 1000), "value")
        self._view.value = self.picture().html()
        rows = [_with_slider(widgets, field) for field in self.fields.values()]
        return widgets.VBox([widgets.HBox(rows, layout={"flex_flow": "row wrap"}), self._view])

    def _ipython_display_(self) -> None:
        from IPython.display import display

        view = self.widget()
        if view is None:
            sys.stdout.write(f"{NO_KNOBS}\n")
        else:
            words = {"text/plain": ASLEEP, "text/html": f"<p>{ASLEEP}</p>"}
            display({**(view._repr_mimebundle_() or {}), **words}, raw=True)  # type: ignore[no-untyped-call]
        display(self.settings())  # type: ignore[no-untyped-call]  # an output of its own: it outlives the knobs


def _number(widgets: Any, label: str, value: int, low: int, high: int, step: int) -> Any:
    """A number field, for JupyterLab's command mode takes the arrow keys from lists and radio buttons."""
    return widgets.BoundedIntText(
        value=value, min=low, max=high, step=step, description=label, style={"description_width": "initial"}
    )


def _with_slider(widgets: Any, field: Any) -> Any:
    """The field with a slider for the mouse; the two are linked in the browser."""
    slider = widgets.IntSlider(value=field.value, min=field.min, max=field.max, step=field.step, readout=False)
    box = widgets.HBox([field, slider], layout={"margin": "0 1.5em 0 0"})
    box.link = widgets.jslink((slider, "value"), (field, "value"))  # lives as long as the box does
    return box


def _bars(ax: Axes, spans: Sequence[Span], limit: int, shade: str) -> None:
    placed = in_lanes(spans, limit)
    edge = "white" if limit <= 20 else "none"
    boxes = [
        [
            (x, lane + y)
            for x, y in (
                (span.started or 0.0, -0.42),
                (span.done, -0.42),
                (span.done, 0.42),
                (span.started or 0.0, 0.42),
            )
        ]
        for lane, span in placed
    ]
    ax.add_collection(PolyCollection(boxes, facecolor=shade, edgecolor=edge, linewidth=1.0))
    ax.set(yticks=[], ylim=(max(limit, 1 + max(lane for lane, _ in placed)) - 0.4, -0.6))
    ax.grid(visible=True, axis="x")


def turn_the_knobs(requests: int = 60, *, limit: int = 3, latency: float = 0.15) -> Panel:
    """Return knobs for a burst's limit and server time (``latency``: seconds; milliseconds on the knob).

    Raises SettingsError for a burst that cannot be.
    """
    return Panel(Setting(requests, limit, latency))


async def at_the_lab(panel: Panel, lab: Lab) -> Picture:
    """Measure the current setting at the lab with the fake client, and draw it below the computed burst.

    The lab's conditions are restored. Raises LabError if the lab has ended.
    """
    one = panel.setting
    before = await asyncio.to_thread(lambda: lab.conditions)
    await asyncio.to_thread(lambda: lab.set(latency=one.latency, jitter=0.0, rtt=0.0, tls=False, error_rate=0.0))
    try:
        async with FakeSupabaseAsync(lab.url, lab.key, limit=one.limit) as db:
            trial = await observe(db, lab, f"fake-{one.limit}", requests=one.requests, watch=one.makespan_s > LONG_S)
    finally:
        await asyncio.to_thread(lambda: put_back(lab, before))
    share = min(one.makespan_s / trial.makespan_s, 1.0)
    said = f"Computed {duration(one.makespan_s)}, measured {duration(trial.makespan_s)}"
    rest = f"The server time alone explains {share:.0%}; the rest is work of the client and the lab."
    if trial.errors:
        rest += f" {trial.errors} of {one.requests} requests failed."
    words = [f"Two timelines of one burst, computed and measured at the lab. {said}. {rest}"]
    with sheet(said, rest, words, (2, 1), 2.6, foot_in=0.7, left=0.1, hspace=0.4) as (fig, axes):
        for ax, name, spans, shade in zip(
            axes, ("computed", trial.arm), (one.spans, trial.spans), (OTHER, colour(trial.arm)), strict=True
        ):
            _bars(ax, spans, one.limit, shade)
            ax.set(xlim=(0, 1.02 * max(one.makespan_s, trial.makespan_s)), ylabel=name)
        axes[-1].set_xlabel("seconds")
    assert isinstance(fig, Picture)
    return fig
