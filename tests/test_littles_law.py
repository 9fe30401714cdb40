"""Little's law: a check of a trial against its witness."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_trials import made_trial

from supalab.measure.littles_law import law


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
