"""The notebooks' own helpers: a lab with its starting conditions, and trials whose names are true."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from supalab import Lab, SupabaseAsync
from supalab.course import kernel, observe, start_lab
from supalab.errors import SettingsError
from supalab.lab.conditions import Conditions


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    yield start_lab(latency=0.0)
    if kernel._lab is not None:
        kernel._lab.stop()
    kernel._lab = None


def test_the_first_cell_run_again_undoes_what_other_cells_set(lab: Lab) -> None:
    """The same lab, with the latency asked for and nothing else: no jitter, round trip, TLS or errors."""
    lab.set(latency=0.4, jitter=0.1, rtt=0.05, tls=True, error_rate=0.5)
    assert start_lab(latency=0.01) is lab
    assert lab.conditions == Conditions(latency=0.01)


@pytest.mark.parametrize(
    ("arm", "told"),
    [
        ("mine", "call it e.g. mine-10"),
        ("real-", "call it e.g. real-10"),
        ("real-x", "does not end in the client's limit"),
        ("real-0", "does not end in the client's limit"),
        ("real-30", "says 30, but the client's limit is 2"),
    ],
)
async def test_a_name_that_does_not_say_the_limit_is_refused(lab: Lab, arm: str, told: str) -> None:
    """A picture must not draw a limit that the client does not have; nothing is sent."""
    lab.reset()
    async with SupabaseAsync(lab.url, lab.key, limit=2) as db:
        with pytest.raises(SettingsError, match=told):
            await observe(db, lab, arm, requests=3)
    assert lab.witness().served == 0


async def test_a_trial_in_the_kernel_has_spans_and_a_witness(lab: Lab) -> None:
    """All requests are answered, with the limit of the name; a client without settings is taken at its name's word."""
    async with SupabaseAsync(lab.url, lab.key, limit=2) as db:
        trial = await observe(db, lab, "real-2", requests=6)
        assert (trial.limit, len(trial.answered), trial["served"]) == (2, 6, 6)
    kernel._check_limit("own-7", object())  # no settings to compare with: the name is taken at its word
