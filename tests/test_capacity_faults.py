"""Faults in production: recovery on made-up requests, what record, table and picture say, and small real runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from supalab.capacity.faults import FaultsInterrupted, faults
from supalab.capacity.faults_result import FORM, Faults, Spell, reached
from supalab.capacity.faults_table import tables
from supalab.capacity.recovery import WINDOW, for_nobody, lost, recovery_s, response_in
from supalab.errors import SettingsError
from supalab.figures.recovery import recovery_picture
from supalab.load.shots import LEFT, Shot
from supalab.report.plot import description
from supalab.report.table import text as plain

IDLE = 0.15


def made_shots(slow: float, until: float, *, begin: float = 4.0, whole: float = 20.0) -> tuple[Shot, ...]:
    """Eight requests a second; those from ``begin`` to ``until`` take ``slow`` seconds, or are lost if that is 0."""
    shots = []
    for place in range(int(8 * whole)):
        at = place / 8
        bad = begin <= at < until
        took = (slow or 1.2) if bad else IDLE
        shots.append(Shot(at, at, at + took, "HTTP 504" if bad and not slow else "ok"))
    return tuple(shots)


def made_spell(arm: str = "fake-3", fault: str = "slow", *, until: float = 9.0, slow: float = 0.9) -> Spell:
    """A spell from 4 to 7 s that the service suffers from up to ``until``."""
    shots = made_shots(slow, until)
    return Spell(arm, fault, IDLE, 4.0, 7.0, len(shots), 0, 0, 3, 0.002, shots)


def made_faults(*spells: Spell) -> Faults:
    return Faults(
        when="2026-11-22T20:00:00+00:00", machine={}, versions={}, path="/contests?size=10", latency=0.15, slow=2.0,
        rate=8.0, crowd=16.0, leave_after=0.1, timeout=1.0, patience=10.0, seed=1, finished=True, spells=spells,
    )  # fmt: skip


def test_recovery_counts_from_the_end_of_the_spell() -> None:
    """Requests were slow up to 2 s after the end: the first good one came then."""
    assert recovery_s(made_shots(0.9, 9.0), 7.0, 2 * IDLE) == pytest.approx(2.0)


def test_a_service_that_was_well_at_the_end_recovered_at_once() -> None:
    """The first request after the end was good, and those behind it."""
    assert recovery_s(made_shots(0.9, 7.0), 7.0, 2 * IDLE) == 0.0


def test_too_few_requests_after_a_spell_say_nothing() -> None:
    """With fewer than a window of them, nobody knows whether the service is well."""
    shots = tuple(shot for shot in made_shots(0.9, 7.0) if shot.intended < 7.0 + (WINDOW - 4) / 8)
    assert 0 < sum(shot.intended >= 7.0 for shot in shots) < WINDOW
    assert recovery_s(shots, 7.0, 2 * IDLE) is None


def test_lost_requests_are_not_well() -> None:
    """A service that fails quickly has not recovered."""
    assert recovery_s(made_shots(0.0, 9.0), 7.0, 2 * IDLE) == pytest.approx(2.0)


def slowed(shots: tuple[Shot, ...], at: float) -> list[Shot]:
    """The same with one more slow request: the first that came at ``at`` or later."""
    found = list(shots)
    place = next(place for place, shot in enumerate(found) if shot.intended >= at)
    found[place] = found[place]._replace(done=found[place].intended + 0.9)
    return found


def test_a_hiccup_after_a_good_window_is_not_the_spells() -> None:
    """Ten quick requests in a row end the aftermath; a slow one before they are complete does not."""
    assert recovery_s(slowed(made_shots(0.9, 7.0), 7.0 + WINDOW / 8), 7.0, 2 * IDLE) == 0.0
    assert recovery_s(slowed(made_shots(0.9, 7.0), 7.5), 7.0, 2 * IDLE) == pytest.approx(0.625)
    assert recovery_s(slowed(made_shots(0.9, 7.0), 7.0), 7.0, 2 * IDLE) == pytest.approx(0.125)


def test_a_recovery_that_was_not_seen_is_none() -> None:
    """Slow up to the end of the load, or fewer requests than a window: nothing is claimed."""
    assert recovery_s(made_shots(0.9, 20.0), 7.0, 2 * IDLE) is None
    assert recovery_s(made_shots(0.9, 7.0, whole=7.0 + (WINDOW - 1) / 8), 7.0, 2 * IDLE) is None


def test_callers_who_leave_say_nothing_of_recovery_and_are_not_lost() -> None:
    """A crowd that hangs up is neither slow nor lost."""
    crowd = tuple(Shot(7.0 + at / 50, 7.0 + at / 50, 7.1 + at / 50, LEFT) for at in range(50))
    shots = made_shots(0.9, 7.0) + crowd
    assert recovery_s(shots, 7.0, 2 * IDLE) == 0.0
    assert lost(shots) == {}


def test_what_was_lost_is_counted_by_kind_and_by_time() -> None:
    """24 requests of the spell and 16 behind it were lost."""
    spell = made_spell(slow=0.0)
    assert spell.lost == {"HTTP 504": 40}
    assert spell.lost_after == 16
    assert spell.p95_during is None
    assert spell.p95_before == pytest.approx(IDLE)
    assert response_in(spell.shots, 9.0, 20.0) == pytest.approx(IDLE)


def test_work_for_nobody_is_what_no_caller_took() -> None:
    """Of 100 finished requests 10 were spoiled on purpose and 60 reached their callers."""
    shots = [Shot(0.0, 0.0, 0.1, "ok")] * 60 + [Shot(0.0, 0.0, 0.1, "timeout")] * 40
    assert for_nobody(shots, served=100, spoiled=10) == 30
    assert for_nobody(shots, served=20, spoiled=0) == 0


def test_the_goal_is_one_service_time() -> None:
    """Real is judged after the slow spell; without that spell nothing is claimed."""
    assert reached(made_faults(made_spell("real-10", until=7.0))) is True
    assert reached(made_faults(made_spell("real-10", until=8.0))) is False
    assert reached(made_faults(made_spell("fake-3"))) is None


def test_a_faults_record_is_the_same_after_the_file() -> None:
    """Every request of every spell survives."""
    found = made_faults(made_spell(), made_spell("real-10", until=7.0))
    assert FORM.loads(FORM.dumps(found)) == found


def test_table_and_picture_say_when_each_was_well_again() -> None:
    """Numbers and words for each client and fault, nothing cut; a spell that did not run is left out."""
    found = made_faults(
        made_spell(), made_spell("real-10", until=7.0), made_spell("real-10", "down", slow=0.0),
        made_spell("fake-3", "left", until=20.0), made_spell("article-10", "left", until=20.0, slow=0.0),
    )  # fmt: skip
    words = plain(tables(replace(found, finished=False)))
    assert max(map(len, words.splitlines())) <= 100
    assert "…" not in words
    for said in ("at once", "2.0 s", "not seen", "real-10 40 x HTTP 504", "reached", "Interrupted", "issue 1093"):
        assert said in words
    told = description(recovery_picture(found))
    assert "real-10, the backend takes 2 s for 3.0 s: well again at once" in told
    assert "fake-3, a crowd comes and hangs up for 3.0 s: well again later than was watched" in told
    assert "production" in description(recovery_picture(made_faults()))


def test_a_crowd_that_hangs_up_holds_threads_and_not_slots() -> None:
    """Every caller of the crowd leaves: fake's threads work on unnoticed, async closes the connection at once."""
    found = faults(("fake-3", "real-10"), ("left",), before=0.5, spell=2.0, after=2.5, rate=12.0)
    fake, real = (found.find(arm, "left") for arm in found.arms)
    assert fake is not None
    assert real is not None
    assert fake.left == real.left > 100
    assert fake.peak == 3
    # The thread that works for a departed caller does not hang up.
    assert fake.abandoned == 0
    assert fake.for_nobody > 10
    assert real.abandoned > 50
    assert real.lost == {}
    assert real.recovery_s is not None
    assert "at once" in plain(tables(found)) or f"{real.recovery_s:.1f} s" in plain(tables(found))


def test_the_spell_lasts_as_long_as_it_was_meant_to_and_is_over_then() -> None:
    """A slow backend and a timeout of 1 s: who comes in the spell is lost, who comes well behind it is not."""
    found = faults(("real-10",), ("slow",), before=0.5, spell=1.5, after=2.5, rate=10.0)
    spell = found.find("real-10", "slow")
    assert spell is not None
    assert 1.3 < spell.end - spell.begin < 2.5
    assert spell.lost.keys() == {"HTTP 504"}
    assert sum(spell.lost.values()) > 5
    assert spell.p95_during is None
    assert all(shot.ok for shot in spell.shots if not spell.begin - 0.2 < shot.intended < spell.end + 1.2)
    assert spell.recovery_s is not None


def test_ctrl_c_keeps_the_spells_that_are_over() -> None:
    """Interrupted in its first spell: the record is empty, and says that it is not whole."""

    def progress(*at: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(FaultsInterrupted) as stopped:
        faults(("real-10",), ("down",), before=0.5, spell=0.5, after=0.5, progress=progress)
    assert stopped.value.found.spells == ()
    assert not stopped.value.found.finished
    assert "No fault" in plain(tables(stopped.value.found))


def test_a_fault_that_is_none_is_refused() -> None:
    """One line, before anything is started."""
    with pytest.raises(SettingsError, match="slow, down, left"):
        faults(("real-10",), ("fire",))
