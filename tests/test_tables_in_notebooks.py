"""Tables in a notebook: text stays text there, so that it can be printed, wraps at its own width and is saved."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import rich.console
from made_explanation import made_explanation
from made_race import made_race

from supalab.experiments.explain import tables as explain_tables
from supalab.experiments.race import table
from supalab.report.table import html as html_of
from supalab.report.table import text as plain


@pytest.mark.parametrize(
    "text",
    [
        lambda: plain(table(made_race("fake-3", "fake-10", "session-10", "article-10", "real-10"))),
        lambda: plain(explain_tables(made_explanation())),
        lambda: plain(table(made_race())),
    ],
    ids=["race", "explain", "printed"],
)
def test_a_table_is_the_same_text_in_a_notebook(text: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The terminal library shows HTML of its own in a kernel, and cuts long lines; a table must not come to that."""
    outside = text()
    monkeypatch.setattr(rich.console, "_is_jupyter", lambda: True)
    assert text() == outside
    assert "fake-3" in outside
    assert max(map(len, outside.splitlines())) <= 100


def test_a_name_stays_in_one_piece_in_a_notebook() -> None:
    """A browser would break ``article-10`` after its hyphen."""
    html = html_of(table(made_race("article-10", "real-10")))
    assert re.search(r'white-space:nowrap">(<\w+>)?article-10<', html)
