"""The chart of what each change saved, from rounds made by hand and from a plan in a lab."""

from __future__ import annotations

import asyncio

import pandas as pd
import pytest

from supalab import Case, Lab, Workload, here
from supalab.course import predict
from supalab.course.charts import savings
from supalab.errors import TrialError
from supalab.measure.run import Plan
from supalab.report.plot import description

SAVED = pd.DataFrame(
    {
        "limit": (0.30, 0.31, 0.31, 0.31, 0.31),
        "nothing": (-0.01, 0.01, 0.00, -0.01, 0.01),
        "reuse": (0.01, -0.01, 0.00, 0.01, -0.01),
        "small": (0.005, 0.006, 0.005, 0.004, 0.005),
        "async": (-0.10, -0.10, -0.11, -0.11, -0.11),
    }
)


def test_a_change_is_judged_by_its_rounds_and_by_the_noise() -> None:
    """A gain, a change within noise, a loss; a gain that is smaller than the noise does not count."""
    said = description(savings(SAVED))
    assert "“limit” saved the most: 0.310 s." in said
    assert "limit: +0.310 s, saved, 151% of the whole (+0.300 to +0.310)" in said
    for change in ("nothing", "reuse", "small"):
        assert "within noise" in said.partition(f"{change}: ")[2].partition(")")[0]
    assert "async: -0.110 s, lost" in said
    alone = description(savings(SAVED[["small"]]))
    assert "small: +0.005 s, saved, 100% of the whole" in alone


def test_guesses_are_seconds_or_parts_of_the_whole() -> None:
    """A dashed line for each guess; who skipped has none, and no part is made of a whole that lost time."""
    guesses = {"limit": predict("x", 50, unit="% of the whole"), "reuse": predict("x", 0.3), "async": predict("x")}
    fig = savings(SAVED, guesses=guesses)
    dashed = [line.get_xdata()[0] for line in fig.axes[0].lines if line.get_linestyle() == "--"]
    assert dashed == pytest.approx([0.10, 0.3], abs=0.01)
    assert "The guess for reuse was 300 ms." in description(fig)
    assert "guess for async" not in description(fig)
    assert "The guess for limit" not in description(savings(-SAVED, guesses=guesses))


def test_without_a_gain_the_title_has_the_losses_or_says_that_there_is_only_noise() -> None:
    """The title is what the rounds show, also where nothing saved time."""
    assert "Nothing saved time; “async” lost 0.110 s." in description(savings(SAVED[["nothing", "async"]]))
    assert "No change can be distinguished from noise." in description(savings(SAVED[["nothing", "small"]]))


@pytest.mark.parametrize("nothing", [SAVED[:0], SAVED[[]]])
def test_a_table_without_rounds_or_changes_is_refused(nothing: pd.DataFrame) -> None:
    """In one line that says what the table must have."""
    with pytest.raises(TrialError, match="a row for each round, a column for each change"):
        savings(nothing)


def _rounds(arms: tuple[str, ...], rounds: int) -> Plan:
    for number in range(rounds):
        for arm in arms:
            yield Case(
                arm, Workload(8, 0.1), repeat=number, conditions={"rtt": 0.01, "tls": True}, options={"warm_up": 4}
            )


async def test_rounds_run_over_a_network_of_their_own() -> None:
    """Over TLS each new connection counts, the ones of the warm-up do not; the lab is as it was afterwards."""
    async with Lab(latency=0.01) as lab:
        near = lab.conditions
        rows = (await here(_rounds(("fake-4", "session-4"), 2), lab)).rows
        assert lab.conditions == near
    assert not rows.errors.any()
    assert list(rows.peak) == [4, 4, 4, 4]
    assert list(rows.connections[rows.arm == "fake-4"]) == [8, 8]
    assert rows.connections[rows.arm == "session-4"].max() <= 4


async def test_the_lab_is_as_it_was_when_somebody_interrupts() -> None:
    """A plan's conditions end with it, however it ends."""
    async with Lab(latency=0.01) as lab:
        near = lab.conditions
        running = asyncio.create_task(here(_rounds(("fake-4",), 50), lab))
        while not lab.conditions.tls:
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert lab.conditions == near
