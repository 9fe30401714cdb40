"""Make the contests that the lab serves when no seed is given: the same 500 synthetic rows each time.

No contest in them exists; hosts are public names of contest platforms, everything else is made up.
``python data/make_contests.py`` writes ``supalab/lab/contests.csv`` anew; a test compares the two, byte by byte.
"""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from supalab.lab.postgrest.seed import SHIPPED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["contests_csv", "main"]

ROWS = 500
COLUMNS = "id,title,host,category,prize,status,starts_at,url,ends_at,team_size_max,description"
HOSTS = ("kaggle", "drivendata", "zindi", "aicrowd", "signate", "codalab", "tianchi", "devpost")
CATEGORIES = {
    "tabular": ("Tabular Sprint", "Churn Forecast", "Price Oracle", "Ledger Anomalies"),
    "vision": ("Vision Cup", "Leaf Disease Atlas", "Street Sign Census", "Cell Counting"),
    "nlp": ("Text Duel", "Summary League", "Question Hour", "Named Things"),
    "speech": ("Speech in the Wild", "Whisper Relay", "Accent Map", "Keyword Hunt"),
    "rl": ("Maze Runners", "Market Makers", "Lunar Dock", "Traffic Lights"),
    "other": ("Graph Riddle", "Sensor Fusion", "Protein Fold", "Weather Gap"),
}
EDITIONS = ("Spring", "Summer", "Autumn", "Winter", "Open", "Grand", "Junior", "Night")
PRIZES = (0, 500, 1000, 2500, 5000, 8000, 10000, 12500, 15000, 25000, 50000, 100000)
TODAY = datetime(2026, 4, 1)  # statuses are as of this day, so that the file never ages
FIRST_DAY = datetime(2025, 1, 6)


class _Dice:
    """A tiny linear congruential generator: the same rolls on every Python, which ``random`` does not promise."""

    def __init__(self, seed: int) -> None:
        self._state = seed

    def roll(self, sides: int) -> int:
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self._state >> 33) % sides

    def pick(self, choices: Sequence[str]) -> str:
        return choices[self.roll(len(choices))]


def _status(start: datetime, end: datetime) -> str:
    if start > TODAY:
        return "upcoming"
    return "open" if end > TODAY else "closed"


def _rows() -> Iterator[list[object]]:
    dice = _Dice(2026)
    for number in range(1, ROWS + 1):
        category = dice.pick(tuple(CATEGORIES))
        name = dice.pick(CATEGORIES[category])
        start = FIRST_DAY + timedelta(days=dice.roll(720), hours=dice.roll(24))
        end = start + timedelta(days=7 * (1 + dice.roll(12)))
        size = 1 + dice.roll(6)
        prize = "" if dice.roll(20) == 0 else PRIZES[dice.roll(len(PRIZES))]
        weeks = (end - start).days // 7
        yield [
            number,
            f"{dice.pick(EDITIONS)} {name} {number}",
            "" if dice.roll(40) == 0 else dice.pick(HOSTS),
            category,
            prize,
            _status(start, end),
            f"{start:%Y-%m-%dT%H:%M:%SZ}",
            f"https://contests.test/c/{number}",
            f"{end:%Y-%m-%dT%H:%M:%SZ}",
            size,
            f"A synthetic {category} contest over {weeks} week{'s' if weeks > 1 else ''} for teams of up to {size}.",
        ]


def contests_csv() -> str:
    """Return the file's whole text: a header and 500 rows, lines ended by ``\\n`` on every system."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS.split(","))
    writer.writerows(_rows())
    return out.getvalue()


def main() -> None:
    """Write the file that the package holds."""
    SHIPPED.write_bytes(contests_csv().encode())


if __name__ == "__main__":
    main()
