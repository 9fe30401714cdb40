"""Panels whose knobs redraw a computed timeline: a burst goes in, widgets with a static twin below them come out.

The widgets are a comfort: without ``ipywidgets``, in a front end that has none, and in a saved notebook that nobody
runs, the twin says the same. What is computed here, ``at_the_lab`` measures.
"""

from __future__ import annotations

import asyncio
import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from supalab.clients.arms import arm
from supalab.course import knobs_picture as picture
from supalab.course.kernel import observe
from supalab.course.knobs_schedule import MOST, Setting, compute
from supalab.course.knobs_svg import Drawn
from supalab.course.knobs_words import burst_line, link_line
from supalab.errors import SettingsError
from supalab.measure.run import put_back
from supalab.settings import Settings

if TYPE_CHECKING:
    from supalab.clients.base import Client
    from supalab.lab.handle import Lab

__all__ = ["Knob", "Panel", "at_the_lab", "turn_the_knobs", "turn_the_link"]

#: What the knobs can say: milliseconds of latency, of a round trip, and how far they go with one press of a key.
LATENCIES, TRIPS, STEP = (50, 500), (0, 200), 10
#: From so many seconds on, a run of what the knobs say is watched: nobody should sit before a still page.
LONG_S = 5.0
ASLEEP = "The knobs move when this cell has been run in JupyterLab. The picture below shows the same without them."


@dataclass(frozen=True, slots=True)
class Knob:
    """One knob: the part of a setting that it turns, its label, the value at the start, and its range.

    A knob without a range is a box to tick. ``times``: what a value is multiplied by to be that part of the setting.
    """

    part: str
    label: str
    value: int | bool
    span: tuple[int, int] | None = None
    step: int = 1
    times: float | None = None

    def turned(self, value: Any) -> Any:
        """Return what the setting's part becomes at this value of the knob."""
        return value if self.times is None else round(value * self.times, 6)


class Panel:
    """What ``turn_the_knobs`` and ``turn_the_link`` return: shows itself as widgets and, below them, as its twin.

    ``setting``: what the knobs say now. ``twin``: the picture that needs no knobs. ``drawn``: how often the panel drew.
    """

    def __init__(
        self, start: Setting, knobs: tuple[Knob, ...], draw: Callable[[Setting], Drawn],
        line: Callable[[Setting], str], twin: Drawn,
    ) -> None:  # fmt: skip
        self.setting, self.twin, self.drawn = start, twin, 0
        self._knobs, self._draw, self._line = {knob.part: knob for knob in knobs}, draw, line
        self._view: Any = None
        self.fields: Mapping[str, Any] = {}

    def turn(self, part: str, value: Any) -> None:
        """Set one knob, as a hand would, and draw."""
        self.setting = replace(self.setting, **{part: self._knobs[part].turned(value)})
        if self._view is not None:
            self._view.value = self.html()

    def picture(self) -> Drawn:
        """Return the timeline of the setting that the knobs say now."""
        return self._draw(self.setting)

    def html(self) -> str:
        """Return the timeline of now and its line of words."""
        self.drawn += 1
        return f'{self.picture().html()}<p style="margin:0.4em 0">{html.escape(self._line(self.setting))}</p>'

    def widget(self) -> Any:
        """Return the knobs over their picture as one widget, ``None`` where there is no ``ipywidgets``."""
        try:
            import ipywidgets as widgets  # type: ignore[import-untyped]
        except ImportError:
            return None
        self._view = self._view or widgets.HTML()
        self.fields = self.fields or {part: self._field(widgets, knob) for part, knob in self._knobs.items()}
        rows = [self._row(widgets, self._knobs[part], field) for part, field in self.fields.items()]
        self._view.value = self.html()
        return widgets.VBox([widgets.HBox(rows, layout={"flex_flow": "row wrap"}), self._view])

    def _field(self, widgets: Any, knob: Knob) -> Any:
        """Return what a hand or a key turns, tied to its label.

        Number fields and boxes, for JupyterLab's command mode takes the arrow keys from lists and radio buttons.
        """
        wide = {"description_width": "initial"}
        if knob.span is None:
            field = widgets.Checkbox(value=knob.value, description=knob.label, indent=False, layout={"width": "auto"})
        else:
            low, high = knob.span
            field = widgets.BoundedIntText(
                value=knob.value, min=low, max=high, step=knob.step, description=knob.label, style=wide,
                layout={"width": "13.5em"},
            )  # fmt: skip
        field.observe(lambda change: self.turn(knob.part, change["new"]), "value")
        return field

    @staticmethod
    def _row(widgets: Any, knob: Knob, field: Any) -> Any:
        """Return a field, with a slider beside a number: for the mouse; the two are tied in the browser."""
        if knob.span is None:
            return widgets.HBox([field], layout={"margin": "0 1.5em 0 0"})
        low, high = knob.span
        slider = widgets.IntSlider(
            value=field.value, min=low, max=high, step=knob.step, readout=False, layout={"width": "16em"}
        )
        tie = widgets.jslink((slider, "value"), (field, "value"))
        box = widgets.HBox([field, slider], layout={"margin": "0 1.5em 0 0"})
        box.tie = tie  # lives as long as the box does
        return box

    def __repr__(self) -> str:
        return self.twin.description

    def _ipython_display_(self) -> None:
        """Show the widgets, if there are any, and the twin below: two outputs, so that the second one outlives both."""
        from IPython.display import display

        view = self.widget()
        if view is not None:
            parts = dict(view._repr_mimebundle_() or {})
            asleep = {"text/plain": ASLEEP, "text/html": f"<p>{ASLEEP}</p>"}
            display({**parts, **asleep}, raw=True)  # type: ignore[no-untyped-call]
        display(self.twin)  # type: ignore[no-untyped-call]


def turn_the_knobs(requests: int = 60, *, limit: int = 3, latency: float = 0.15) -> Panel:
    """Return a panel for a burst: knobs for limit and latency (seconds here, milliseconds on the knob).

    Raises SettingsError for a burst that cannot be.
    """
    start = _burst(Setting(requests, limit, latency, kept=False))
    most = min(max(limit, requests + max(requests // 3, 1)), MOST)
    at, (low, high) = round(1000 * latency), LATENCIES
    span = (min(low, at), max(high, at))
    knobs = (
        Knob("limit", "limit", limit, (1, most)),
        Knob("latency", "latency (ms)", at, span, STEP, 0.001),
    )
    scale = (min(0.001 * span[0], latency), max(0.001 * span[1], latency))
    return Panel(
        start, knobs,
        lambda now: picture.burst_picture(now, start, most=most, latencies=scale),
        lambda now: burst_line(compute(now)),
        picture.burst_twin(start),
    )  # fmt: skip


def turn_the_link(requests: int = 40, *, limit: int = 10, latency: float = 0.05, rtt: float = 0.04) -> Panel:
    """Return a panel for a burst over a link: knobs for round trip, limit, keeping connections and TLS; seconds here.

    Raises SettingsError for a burst that cannot be.
    """
    start = _burst(Setting(requests, limit, latency, rtt, kept=False, tls=True))
    if not latency:
        raise SettingsError("latency is 0: at a round trip of 0 nothing would take time; give seconds, such as 0.05")
    at = round(1000 * rtt)
    trips = (TRIPS[0], max(TRIPS[1], at))
    knobs = (
        Knob("rtt", "round trip (ms)", at, trips, STEP, 0.001),
        Knob("limit", "limit", limit, (1, min(max(limit, requests + max(requests // 4, 1)), MOST))),
        Knob("kept", "keep connections", False),
        Knob("tls", "TLS", True),
    )
    return Panel(
        start, knobs,
        lambda now: picture.link_picture(now, start, most=max(0.001 * trips[1], rtt)),
        lambda now: link_line(compute(now)),
        picture.link_twin(start),
    )  # fmt: skip


def _burst(one: Setting) -> Setting:
    if one.requests < 2:
        raise SettingsError("a burst of 1 request leaves nothing to turn: give requests=60 or so")
    return one


async def at_the_lab(panel: Panel, lab: Lab) -> Drawn:
    """Measure at the lab what the panel's knobs say now, and draw it below what was computed.

    The client is the fake one, in threads: with a Session each where connections are kept, without where they are
    dialled anew. The lab's conditions are put back. Raises LabError if the lab is gone.
    """
    one = panel.setting
    name = f"{'session' if one.kept else 'fake'}-{one.limit}"
    long = compute(one).makespan_s > LONG_S
    before = await asyncio.to_thread(lambda: lab.conditions)
    await asyncio.to_thread(lambda: lab.set(latency=one.latency, jitter=0.0, rtt=one.rtt, tls=one.tls, error_rate=0.0))
    try:
        ca_file = None if lab.ca_file is None else str(lab.ca_file)
        async with arm(name).build(Settings(lab.url, lab.key, ca_file=ca_file)) as client:
            trial = await observe(cast("Client", client), lab, name, requests=one.requests, watch=long)
    finally:
        await asyncio.to_thread(lambda: put_back(lab, before))
    return picture.beside_measured(one, trial)
