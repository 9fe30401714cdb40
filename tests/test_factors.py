"""What each step of a chain earned: rounds made by hand and real ones, in words and pictures; records as pictures."""

from __future__ import annotations

import asyncio

import pytest
from made_race import made_trial, of_spans

from supalab import Lab
from supalab.course import predict
from supalab.course.factors import NOTHING, Rounds, in_rounds, in_seconds, signed
from supalab.course.factors_picture import what_earned
from supalab.errors import SettingsError
from supalab.measure.case import Span, Trial
from supalab.measure.workload import Workload
from supalab.report.plot import description

CHAIN = ("fake-3", "fake-10", "fake-10", "session-10", "article-10")
SECONDS = (
    (0.50, 0.52, 0.51, 0.55, 0.53),
    (0.20, 0.21, 0.20, 0.24, 0.22),
    (0.21, 0.20, 0.20, 0.25, 0.21),
    (0.20, 0.21, 0.20, 0.24, 0.22),
    (0.30, 0.31, 0.31, 0.35, 0.33),
)


def trial(arm: str, seconds: float, turn: int) -> Trial:
    return of_spans(made_trial(arm, Workload(1, 0.05), repeat=turn), [Span(0.0, 0.0, seconds)])


def made_rounds() -> Rounds:
    rows = zip(CHAIN, SECONDS, strict=True)
    return Rounds(CHAIN, tuple(tuple(trial(arm, s, turn) for turn, s in enumerate(row)) for arm, row in rows))


def test_every_step_is_named_and_judged_by_its_rounds() -> None:
    """A gain, nothing, what is lost in noise, and a loss; a step that is no factor has its arms' names."""
    steps = made_rounds().steps
    assert [step.key for step in steps] == ["limit", NOTHING, "reuse", "session-10 → article-10"]
    assert [step.saved.above_noise for step in steps] == [True, False, False, True]
    assert steps[0].saved.median == pytest.approx(0.31)
    assert steps[3].each == pytest.approx((-0.10, -0.10, -0.11, -0.11, -0.11))
    verdicts = [str(step).rsplit("), ", 1)[1] for step in steps]
    assert verdicts == ["saved", "within noise", "within noise", "lost"]
    assert made_rounds().whole.median == pytest.approx(0.20)
    assert signed(-0.0001) == "+0.000"


def test_guesses_are_seconds_or_parts_of_the_whole() -> None:
    """Half of the whole is half of its seconds; who skipped is left out, and no part is made of a loss."""
    guesses = {
        "limit": predict("x", 50, unit="% of the whole"),
        "reuse": predict("x", 0.3),
        "async": predict("x", None),
    }
    assert in_seconds(made_rounds(), guesses) == pytest.approx({"limit": 0.10, "reuse": 0.3})
    found = made_rounds()
    backwards = Rounds(found.arms[::-1], found.trials[::-1])
    assert in_seconds(backwards, guesses) == pytest.approx({"reuse": 0.3})


def test_the_picture_has_every_step_and_guess_in_its_words() -> None:
    """A dashed line for each guess, a band for what nothing earns, and all numbers in the description."""
    fig = what_earned(made_rounds(), guesses={"limit": predict("x", 50, unit="%")})
    said = description(fig)
    assert all(str(step) in said for step in made_rounds().steps)
    assert "the guess was 100 ms" in said
    assert "155% of the whole" in said
    dashed = [line for line in fig.axes[0].lines if line.get_linestyle() == "--"]
    assert [line.get_xdata()[0] for line in dashed] == pytest.approx([0.10])
    names = [text.get_text() for text in fig.legends[0].get_texts()]
    assert names[-2:] == ["noise band: an arm against itself", "your guess"]
    assert "your guess" not in [text.get_text() for text in what_earned(made_rounds()).legends[0].get_texts()]


def test_without_a_gain_on_the_whole_the_title_has_the_steps_that_can_be_told() -> None:
    """What one step earned and the next one lost again is in the title, not the two ends."""
    found = made_rounds()
    fig = what_earned(Rounds(found.arms[2:], found.trials[2:]))
    assert "“session-10 → article-10” \N{MINUS SIGN}0.110 s" in description(fig)


async def test_arms_take_turns_at_the_lab_over_any_link() -> None:
    """A trial for each place and round, witnessed; over TLS too, where each new connection counts."""
    async with Lab(latency=0.01, rtt=0.01, tls=True) as lab:
        found = await in_rounds(lab, ("fake-2", "fake-4", "session-4"), requests=8, rounds=2, watch=False)
    assert [len(trials) for trials in found.trials] == [2, 2, 2]
    assert all(one.errors == 0 and one.case.conditions["tls"] for trials in found.trials for one in trials)
    assert [found.of(arm)[0]["peak"] for arm in found.arms] == [2, 4, 4]
    assert found.of("fake-4")[1]["connections"] == 12
    assert found.of("session-4")[1]["connections"] <= 6
    assert "over TLS and a round trip of 10 ms" in description(what_earned(found))


async def test_a_link_is_for_these_rounds_alone() -> None:
    """Rounds over a link of their own leave the lab as it was, also when somebody interrupts them."""
    async with Lab(latency=0.01) as lab:
        near = lab.conditions
        found = await in_rounds(lab, ("fake-2", "fake-4"), requests=4, rounds=1, rtt=0.01, tls=True, watch=False)
        assert found.trials[0][0].case.conditions["tls"]
        assert lab.conditions == near
        running = asyncio.create_task(in_rounds(lab, ("fake-2", "fake-4"), rounds=50, rtt=0.05, tls=True, watch=False))
        while not lab.conditions.tls:
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert lab.conditions == near


async def test_what_cannot_run_is_told_in_one_line() -> None:
    """One arm is no step, an unknown one is named, and so is one that did not run."""
    async with Lab() as lab:
        with pytest.raises(SettingsError, match="name at least two arms"):
            await in_rounds(lab, ("fake-3",))
        with pytest.raises(SettingsError, match="no arm is called 'fast'"):
            await in_rounds(lab, ("fake-3", "fast"))
    with pytest.raises(SettingsError, match="no arm 'real-10' ran"):
        made_rounds().of("real-10")
