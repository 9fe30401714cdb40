"""Put a check's findings into words, a table and the next hint (pure).

It says what was observed and what was expected, never that somebody is wrong.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from supalab.report import table
from supalab.report.table import Column


class State(Enum):
    """How far a learner is with an exercise."""

    NOT_DONE = "not done yet"
    LOOK_AGAIN = "look again"
    DONE = "done"


MARKS = {State.NOT_DONE: "○", State.LOOK_AGAIN: "◐", State.DONE: "●"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked: what was expected, what was observed, and what to say if they differ.

    A judge gives the name of a ``reason`` and the ``facts`` in it; the text of the reason is next to the exercise in
    the notebook's source, and becomes ``words``.
    """

    what: str
    expected: str
    observed: str
    ok: bool
    words: str = ""
    reason: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)

    def because(self, otherwise: str = "", /, say: Mapping[str, object] | None = None, **reasons: Any) -> Finding:
        """Return the finding with the reason for a difference: the first whose condition holds, or else ``otherwise``.

        ``reasons``: conditions by the names of their reasons. ``say``: values for the names in braces in the text.
        """
        if self.ok:
            return self
        reason = next((name for name, holds in reasons.items() if holds), otherwise)
        return replace(self, reason=reason, facts=say or {})


@dataclass(frozen=True, slots=True)
class Feedback:
    """The whole result of a check; it displays itself in a notebook.

    ``solution``: code, folded until somebody opens it. ``left``: what an unfinished stub says.
    """

    exercise: str
    title: str
    state: State
    findings: tuple[Finding, ...] = ()
    hints: tuple[str, ...] = ()
    solution: str = ""
    left: str = ""

    @property
    def passed(self) -> bool:
        """Whether the exercise is done."""
        return self.state is State.DONE

    @property
    def headline(self) -> str:
        """One line: the exercise, how far it is, and what that means."""
        some = any(finding.ok for finding in self.findings)
        said = {
            State.NOT_DONE: "not done yet. The cells below run without it, so you can come back later.",
            State.LOOK_AGAIN: f"{'nearly' if some else 'not yet'}. Here is what the check saw.",
            State.DONE: "done. The check agrees.",
        }
        return f"{MARKS[self.state]} Exercise {self.exercise} · {self.title}: {said[self.state]}"

    @property
    def words(self) -> tuple[str, ...]:
        """Return what is said about the findings that differ, each thing once."""
        return tuple(dict.fromkeys(finding.words for finding in self.findings if not finding.ok and finding.words))

    @property
    def _below(self) -> list[str]:
        """Return what is shown below the findings: the stub's words, reasons and hints; code is between backticks."""
        left = [f"The stub says: {self.left}"] if self.left else []
        return [*left, *self.words, *(f"Hint {number}: {hint}" for number, hint in enumerate(self.hints, 1))]

    def __str__(self) -> str:
        rows = [f"{_mark(f)} {f.what}: {f.observed} (expected {f.expected})" for f in self.findings]
        folded = ["The solution is folded below the hints in a notebook."] if self.solution else []
        return "\n  ".join([self.headline, *rows, *self._below, *folded])

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": str(self)}

    def html(self) -> str:
        """Return the feedback as HTML in the theme's colours; no information is given by colour alone."""
        titles = [Column(title) for title in ("", "looked at", "expected", "observed")] if self.findings else []
        rows = [[_mark(one), one.what, one.expected, one.observed] for one in self.findings]
        below = "".join(f"<p>{_marked(text)}</p>" for text in self._below)
        folded = f"<summary>One solution (open it if you like)</summary><pre>{html.escape(self.solution)}</pre>"
        solution = f"<details>{folded}</details>" if self.solution else ""
        head = f"<p><strong>{_marked(self.headline)}</strong></p>"
        return head + table.html(table.Table(titles, rows)) + below + solution


def _marked(text: str) -> str:
    """Return a sentence as HTML; text between backticks is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


def _mark(finding: Finding) -> str:
    return "✓" if finding.ok else "✗"
