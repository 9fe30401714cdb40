"""Little's law: three numbers of which any two give the third, and a check of a trial against its witness."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_trials import made_trial

from supalab.measure.littles_law import in_flight, law, seconds_each, throughput


def test_any_two_of_the_three_numbers_give_the_third():
    """The article's own figures: 6.7 requests a second at 0.45 s are 3 in flight."""
    assert in_flight(6.7, 0.45) == pytest.approx(3, rel=0.01)
    assert throughput(3, 0.45) == pytest.approx(6.7, rel=0.01)
    assert seconds_each(10, 20) == 0.5


@pytest.mark.parametrize("arm", ["fake-3", "real-10"])
def test_a_sound_trial_obeys_the_law(arm):
    """Throughput times service is what the witness saw in flight, within ten per cent."""
    assert law(made_trial(arm)) == pytest.approx(1, abs=0.1)


def test_a_witness_that_saw_half_breaks_the_law():
    """The check notices when a client's numbers do not fit what the lab saw."""
    trial = made_trial("fake-3")
    assert trial.witness is not None
    halved = replace(trial, witness=replace(trial.witness, busy_s=trial.witness.busy_s / 2))
    assert law(halved) == pytest.approx(2, rel=0.1)


def test_nothing_is_claimed_where_nothing_was_seen():
    """Without a witness, or with no slot known, there is no ratio."""
    trial = made_trial("fake-3")
    assert law(replace(trial, witness=None)) is None
    assert law(replace(trial, spans=tuple(span._replace(started=None) for span in trial.spans))) is None
