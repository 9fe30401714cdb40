"""The detective: open arrivals, what each story explains, and a solution that says what came out, whatever it is."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from claimswork import figures

from supalab import Lab
from supalab.errors import TrialError
from supalab.figures.detective import case_picture
from supalab.measure.claims.evidence import from_spans
from supalab.measure.detective import expected_s
from supalab.measure.detective import table as detective_table
from supalab.measure.detective.arrivals import arrivals, arrive, times_of
from supalab.measure.detective.case import ARTICLE, CASE, SUSPECTS, Case, account, accounts, solution
from supalab.measure.workload import Workload
from supalab.report.plot import description
from supalab.report.table import text as text_of

# What two columns would be if everything were as the article says.
RIGHT = {"before": figures("fake-3", 0.45, 15.0, 100, 21, 1), "after": figures("real-10", 0.15, 5.0, 10, 34, 1)}


def races(**changes: Any) -> dict[str, dict[str, Any]]:
    """All races of the case; every arm shows the article's figures unless a change says otherwise."""
    found: dict[str, dict[str, Any]] = {}
    for one in SUSPECTS:
        for when, (race, arm) in (("before", one.before), ("after", one.after)):
            right = replace(RIGHT[when], arm=arm, limit=int(arm.rpartition("-")[2]))
            found.setdefault(race, {})[arm] = replace(right, **changes.get(race.replace("-", "_"), {}).get(arm, {}))
    return found


def made_case(**changes: Any) -> Case:
    found = races(**changes)
    return Case(accounts(found), found, {"burst": 2.0}, True, "2026-11-22T20:00:00+00:00", {"cpus": "2"}, {})


def test_an_arm_that_shows_the_articles_figures_explains_them_all() -> None:
    """Eight figures, four before and four after; those that match are ticks."""
    found = account(SUSPECTS[0], RIGHT["before"], RIGHT["after"])
    assert (found.explained, len(found.cells), found.missed) == (8, 2 * len(ARTICLE), ())
    assert [cell.when for cell in found.cells] == ["before"] * 4 + ["after"] * 4


@pytest.mark.parametrize(
    ("change", "figure"),
    [
        ({"response_s": 0.45}, "response"),
        ({"per_s": 66.7}, "throughput"),
        ({"total_s": 1.5}, "100 requests"),
        ({"limit": 3}, "at once"),
    ],
)
def test_each_figure_can_miss_alone(change: dict[str, Any], figure: str) -> None:
    """A figure that is off by more than a factor of 1.5, or another limit, is a cross, named with both numbers."""
    found = account(SUSPECTS[0], RIGHT["before"], replace(RIGHT["after"], **change))
    assert [(cell.figure, cell.when) for cell in found.missed] == [(figure, "after")]
    assert f"explains 7 of 8 figures, but not {figure} after: " in found.sentence
    assert found.missed[0].stated in found.sentence


def test_a_limit_that_is_never_filled_is_said() -> None:
    """Ten allowed and seven used is the article's ten, and the seven are there to read."""
    found = account(SUSPECTS[0], RIGHT["before"], replace(RIGHT["after"], at_once=7))
    assert found.explained == 8
    assert "10, 7 used" in [cell.text for cell in found.cells]


def test_the_solution_follows_from_the_matrix() -> None:
    """Many stories, one, none: the sentence names those that explain everything, or the nearest and what is off."""
    tens = [one for one in SUSPECTS if one.after[1].endswith("-10")]
    assert f"in {len(tens)} stories" in solution(accounts(races()))
    slow = {arm: {"response_s": 0.45} for _, arm in (one.after for one in SUSPECTS)}
    wrong = dict.fromkeys(("burst", "far", "near", "open"), slow)
    one = accounts(races(**wrong, open_far={"session-10": {"total_s": 15.0}}))
    assert "in one story: H, " in solution(one)
    assert "Each of the others misses at least 1." in solution(one)
    none = accounts(races(**wrong, open_far={arm: {"response_s": 0.45} for arm in ("real-10", "session-10")}))
    assert solution(none).startswith(f"In none of {len(SUSPECTS)} stories")
    assert "explains 7 of 8 figures" in solution(none)
    assert solution([]).startswith("No suspect could be heard")


def test_a_story_whose_arm_failed_is_not_heard() -> None:
    """Requests that failed are no figures: the stories that rest on them are left out."""
    letters = [one.suspect.letter for one in accounts(races(far={"session-3": {"errors": 2}}))]
    assert letters == [one.letter for one in SUSPECTS if one.letter != "C"]


def test_the_suspects_are_told_apart_by_one_thing_each() -> None:
    """Letters and stories differ, and no two stories rest on the same two arms."""
    assert len({one.letter for one in SUSPECTS}) == len({one.story for one in SUSPECTS}) == len(SUSPECTS)
    assert len({(one.before, one.after) for one in SUSPECTS}) == len(SUSPECTS)
    assert expected_s(True) < 60 < expected_s(False) < 120


def test_the_case_survives_its_file_and_is_printed_in_100_columns() -> None:
    """Same case, same bytes; every suspect is in the table with its cells; a notebook gets the same as HTML."""
    case = made_case(far={"session-3": {"total_s": 20.0}})
    again = CASE.loads(CASE.dumps(case))
    assert again.solution == case.solution
    assert CASE.dumps(again) == CASE.dumps(case)
    text = text_of(detective_table.table(case))
    assert max(map(len, text.splitlines())) <= 100
    for one in case.accounts:
        assert f"\n{one.suspect.letter}  " in text
    assert text.count("✕") == sum(len(one.missed) for one in case.accounts) == 3
    assert case._repr_html_().count("<tr>") == len(case.accounts) + 2
    assert case.of("C") == case.accounts[2]
    assert case.of("Z") is None


def test_the_picture_says_what_it_shows() -> None:
    """The description has the solution and what each story explains."""
    case = made_case(far={"session-3": {"total_s": 20.0}})
    words = description(case_picture(case))
    assert case.solution in words
    for one in case.accounts:
        assert one.sentence in words


def test_arrivals_are_seeded_and_of_the_rate_asked_for() -> None:
    """The same times each time, rising, as many as asked for, and stretched to the rate exactly."""
    times = times_of(100, 20.0)
    assert times == times_of(100, 20.0)
    assert times != times_of(100, 20.0, seed=2)
    assert (len(times), times[0]) == (100, 0.0)
    assert list(times) == sorted(times)
    assert times[-1] == pytest.approx(99 / 20)
    gaps = [b - a for a, b in pairwise(times)]
    assert max(gaps) > 3 * sum(gaps) / len(gaps)


class Counting:
    """A client that counts how many of its callers are inside; every third one fails."""

    def __init__(self) -> None:
        self.now = self.most = self.asked = self.closed = 0

    async def select(self, table: str, *, columns: str = "*", limit: int | None = None) -> list[Any]:
        self.asked += 1
        failing = self.asked % 3 == 0
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.05)
        self.now -= 1
        if failing:
            raise LookupError
        return []

    async def aclose(self) -> None:
        self.closed += 1

    async def __aenter__(self) -> Counting:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()


async def test_arrivals_do_not_wait_for_answers() -> None:
    """Nine requests that start together are in flight together; failures are outcomes; the client is closed."""
    client = Counting()
    spans = await arrive(client, Workload(9), [0.0] * 9)
    assert (client.most, client.asked, client.closed) == (9, 9, 1)
    assert [span.outcome for span in spans].count("LookupError") == 3
    assert all(span.done - span.asked >= 0.05 for span in spans)


async def test_arrivals_keep_their_times() -> None:
    """No request starts before its time, and ones far apart are alone."""
    client = Counting()
    spans = await arrive(client, Workload(3), [0.0, 0.15, 0.3])
    assert client.most == 1
    assert [span.asked for span in spans] == [0.0, 0.15, 0.3]


def test_open_arrivals_over_a_distance_use_few_connections_and_slots(lab: Lab) -> None:
    """For real: kept connections answer in one round trip, new ones in three, whatever the rate; nothing fails."""
    lab.set(rtt=0.05, tls=True, latency=0.0)
    times = times_of(20, 20.0)
    found = {}
    for name in ("fake-3", "real-10"):
        raw = arrivals(name, lab, times, Workload(20, 0.0))
        seen = lab.witness()
        found[name] = from_spans(name, 3, raw["spans"], 1.0, connections=seen.connections)
        assert raw["versions"]["python"]
    assert not any(one.errors for one in found.values())
    assert found["fake-3"].connections == 20
    assert (found["real-10"].connections or 99) < 10
    assert found["fake-3"].response_s > 1.5 * found["real-10"].response_s


def test_arrivals_of_a_client_that_cannot_be_are_one_line(lab: Lab) -> None:
    """The process breaks, and what it said is in the error."""
    with pytest.raises(TrialError, match="arrivals at nothing-3"):
        arrivals("nothing-3", lab, [0.0], Workload(1, 0.0))
