"""The lab's database: SQL with bound values flows in, rows or PostgreSQL's errors flow out.

One connection to a database in memory, guarded by a lock, with a time limit on each statement. Only SQL that this
package wrote reaches it; an authorizer refuses the rest (files, settings, extensions) all the same.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from supalab.lab.dialect.refusal import Refusal, pg_refusal
from supalab.lab.store.functions import register_functions
from supalab.lab.store.schema import read_schema
from supalab.lab.store.seed import open_seed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from supalab.lab.types.pgtypes import Value

__all__ = ["Store"]

_STEPS = 20_000  # SQLite's instructions between two looks at the clock
_FORBIDDEN = frozenset(
    {
        sqlite3.SQLITE_ATTACH,
        sqlite3.SQLITE_DETACH,
        sqlite3.SQLITE_PRAGMA,
        sqlite3.SQLITE_CREATE_TABLE,
        sqlite3.SQLITE_DROP_TABLE,
        sqlite3.SQLITE_ALTER_TABLE,
        sqlite3.SQLITE_CREATE_TRIGGER,
        sqlite3.SQLITE_CREATE_VIEW,
    }
)


class Store:
    """A seeded database and its schema. Use it from one thread at a time within ``reading`` or ``writing``."""

    def __init__(self, seed: Path | None = None, *, time_limit: float = 5.0) -> None:
        self._connection = open_seed(seed)
        self._refused = register_functions(self._connection)
        self._connection.execute("PRAGMA foreign_keys = ON")
        self.schema = read_schema(self._connection)
        self._lock = threading.Lock()
        self._time_limit = time_limit
        self._deadline = 0.0
        self._connection.set_progress_handler(self._too_late, _STEPS)
        self._connection.set_authorizer(_authorize)

    def _too_late(self) -> int:
        return int(time.monotonic() > self._deadline)

    def rows(self, sql: str, values: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
        """Return all rows of one statement; raises ``Refusal``: 57014 when it takes too long, or a function's own."""
        self._deadline = time.monotonic() + self._time_limit
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.OperationalError as error:
            if self._refused:
                refusal = self._refused[0]
                self._refused.clear()
                raise refusal from None
            if "interrupted" in str(error):
                raise pg_refusal("57014", "canceling statement due to statement timeout") from None
            raise

    @contextmanager
    def reading(self) -> Iterator[Store]:
        """Hold the database for some reads that belong together."""
        with self._lock:
            yield self

    @contextmanager
    def writing(self) -> Iterator[Store]:
        """Hold the database for one transaction: committed at the end, rolled back when anything is raised."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self
                self._connection.execute("COMMIT")
            except sqlite3.IntegrityError:
                self._connection.execute("ROLLBACK")
                message = "insert or update violates foreign key constraint"
                raise Refusal(409, "23503", message) from None
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the database; what was in it is gone."""
        with self._lock:
            self._connection.close()


def _authorize(action: int, *_: str | None) -> int:
    return sqlite3.SQLITE_DENY if action in _FORBIDDEN else sqlite3.SQLITE_OK
