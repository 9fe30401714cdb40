"""The figure of the probe's evidence: words do not overlap, numbers are in its description, same bytes twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from figure_checks import drawn_texts, overlap
from matplotlib.text import Text
from test_probe_judge import CASES, made_verdict

from supalab.errors import SettingsError
from supalab.probe.figure import evidence
from supalab.report.plot import description, save

ROWS = (
    "a loop in a read",
    "threads",
    "the loop's sockets",
    "half and half",
    "nobody, and a thread for each",
    "processes",
)


def test_every_client_has_a_row_with_its_verdict_and_shares() -> None:
    """The description names each client, its verdict, who waited and the peaks."""
    verdicts = [made_verdict(CASES[name][0], name) for name in ROWS]
    said = description(evidence(*verdicts))
    assert all(f"{verdict.name}: {verdict.headline}" in said for verdict in verdicts)
    assert "100% threads, one for each request" in said
    assert "50% the event loop, for events" in said
    assert "at most 10 of 20 and 10 of 50 in flight" in said


@pytest.mark.parametrize("name", [*ROWS[2:5], "nobody at all", "late, because it works"])
def test_no_words_meet(name: str) -> None:
    """One client or several, with short and long headlines: nothing overlaps, nothing leaves the page."""
    verdict = made_verdict(CASES[name][0])
    blind = replace(verdict.seen, bursts=())
    why = ("It could not be judged: " + "why " * 40,)
    lost = replace(verdict, kind="cannot tell", remarks=(), sentences=why, seen=blind)
    for shown in ((verdict,), (verdict, lost, verdict)):
        fig = evidence(*shown)
        fig.draw_without_rendering()
        boxes = [Text.get_window_extent(text) for text in drawn_texts(fig)]
        assert all(fig.bbox.x0 <= box.x0 and box.x1 <= fig.bbox.x1 for box in boxes)
        assert all(fig.bbox.y0 <= box.y0 and box.y1 <= fig.bbox.y1 for box in boxes)
        assert not [1 for place, a in enumerate(boxes) for b in boxes[place + 1 :] if overlap(a, b)]


def test_same_verdict_same_bytes(tmp_path: Path) -> None:
    """A picture made twice is one picture; none is made of nothing."""
    verdict = made_verdict(CASES["threads"][0])
    data = [save(evidence(verdict), tmp_path / f"{turn}.png").read_bytes() for turn in (1, 2)]
    assert data[0] == data[1]
    with pytest.raises(SettingsError, match="at least one"):
        evidence()
