"""Turn the argument of ``probe`` into a call that makes one request each time.

It may be an async callable without arguments, a client object (then a method of it is called), or a factory that
takes the lab's url and key and returns one of these.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from supalab.errors import SettingsError, SupalabError

__all__ = ["Call", "PlainCall", "Subject", "awaited", "opened", "understood"]

METHOD, TABLE = "select", "contests"
MAKE_S = 3.0
#: Makes one request; what it returns can be awaited, or iterated with ``async for``.
Call = Callable[[], Any]


class PlainCall(SettingsError):
    """A plain function was passed where an async function is needed."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The argument and how to use it: ``factory``, if there is one, is called with (url, key) first."""

    what: Any
    name: str
    factory: Callable[[str, str], Any] | None = None
    method: str | None = None
    args: tuple[Any, ...] = (TABLE,)
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def call_on(self, client: Any) -> Call:
        """Return the call to make: the client itself, or its method; raises SettingsError if there is neither."""
        if self.method is None and callable(client) and not inspect.isclass(client):
            return client  # type: ignore[no-any-return]  # callable() was asked
        name = self.method or METHOD
        method = getattr(client, name, None)
        if callable(method):
            return lambda: method(*self.args, **self.kwargs)
        kind = type(client).__name__
        if _is_query(client):
            raise SettingsError(f"{self.name} is a {kind}, {QUERY}")
        given = f"{self.name} {'returned' if self.factory else 'is'} a {kind}, which has no method {name!r}"
        if _builds_queries(client):
            raise SettingsError(f"{given}: {self._whole_request()}")
        raise SettingsError(
            f"{given}: name one that makes a request (get, say, with its arguments), or hand over an async function "
            "that makes one"
        )

    def _whole_request(self) -> str:
        made = f"; db is what {self.name} makes from lab.url and lab.key" if self.factory else ""
        return f"hand over a whole request, {REQUEST}{made} (or let your own factory return that lambda)"


REQUEST = 'e.g. lambda: db.table("contests").select("*").limit(10).execute()'
QUERY = "a query that is not sent yet: hand over what sends it, e.g. lambda: builder.execute()"


def _is_query(result: Any) -> bool:
    """Return whether this is a query like the official client's, which ``execute`` sends."""
    return callable(getattr(result, "execute", None))


def _builds_queries(client: Any) -> bool:
    """Return whether this is a client like the official one, whose queries begin with a table."""
    return callable(getattr(client, "table", None)) or callable(getattr(client, "from_", None))


def understood(
    what: Any,
    lab_given: bool,
    *,
    in_environment: bool = False,
    method: str | None = None,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Subject:
    """Return how ``what`` is to be used; raises SettingsError, with the line to write, for what cannot be probed.

    ``in_environment``: the lab's url and key are there, so that a factory may do without arguments.
    """
    if inspect.iscoroutine(what):
        what.close()
        raise SettingsError(
            "probe was given a call that has already been made: hand over the function itself, "
            'without parentheses, e.g. probe(lambda: db.select("contests"), lab=lab)'
        )
    if isinstance(args, str):
        raise SettingsError(f"args {args!r} is a text: write args=({args!r},)")
    factory = _factory(what, lab_given, in_environment)
    if factory is None and not lab_given:
        raise SettingsError(
            "probe does not know which lab your client uses: write probe(…, lab=lab), or hand over what makes "
            "the client from a url and a key, e.g. probe(lambda url, key: MyClient(url, key))"
        )
    given = (TABLE,) if args is None else tuple(args)
    subject = Subject(what, name or _name_of(what), factory, method, given, dict(kwargs or {}))
    if factory is None:
        subject.call_on(what)  # what cannot be called is refused now
    return subject


def _factory(what: Any, lab_given: bool, in_environment: bool) -> Callable[[str, str], Any] | None:
    """What makes a client of a url and a key; what takes anything does so only where it has no lab to know of."""
    if not callable(what):
        return None
    needs_nothing = _binds(what)
    if _binds(what, "url", "key") and (in_environment or not needs_nothing or inspect.isclass(what) or not lab_given):
        return lambda url, key: what(url, key)
    return (lambda url, key: what()) if in_environment and needs_nothing else None


def _binds(what: Any, *given: str) -> bool:
    try:
        inspect.signature(what).bind(*given)
    except TypeError:
        return False
    except ValueError:  # written in C, so its arguments are unknown
        return not given
    return True


def _name_of(what: Any) -> str:
    inner = getattr(what, "func", what)  # functools.partial
    named = getattr(inner, "__qualname__", None) or type(inner).__name__
    short = str(named).rpartition("<locals>.")[2]
    return "your client" if short == "<lambda>" else short


@asynccontextmanager
async def opened(subject: Subject, url: str, key: str) -> AsyncIterator[Call]:
    """Make the client, if it has to be made, and close it afterwards; yield the call that makes one request.

    Raises SettingsError when it cannot be made.
    """
    if subject.factory is None:
        yield subject.call_on(subject.what)
        return
    make = subject.factory
    made, by_itself = await _made(make, subject, url, key)
    if by_itself and subject.method is None:
        yield lambda: make(url, key)
        return
    entered = await made.__aenter__() if hasattr(made, "__aenter__") else made
    try:
        yield subject.call_on(made if entered is None else entered)
    finally:
        await _closed(made)


async def _made(make: Callable[[str, str], Any], subject: Subject, url: str, key: str) -> tuple[Any, bool]:
    """Return the client; or, if an async function made a request instead of one, that it is a call by itself."""
    try:
        made = make(url, key)
    except SupalabError:
        raise
    except (Exception, SystemExit) as error:
        said = str(error).replace(key, "(the key)").strip().partition("\n")[0]
        why = f"{type(error).__name__}: {said}" if said else type(error).__name__
        raise SettingsError(f"{subject.name} did not make a client: {why}") from error
    if inspect.isasyncgen(made):
        await made.aclose()
        return None, True
    if not inspect.isawaitable(made):
        return made, False
    try:
        made = await asyncio.wait_for(_result(made), MAKE_S)
    except Exception:  # the first call will give a better error
        return None, True
    is_client = callable(made) or callable(getattr(made, subject.method or METHOD, None))
    return made, not (is_client or _is_query(made) or _builds_queries(made))


async def _result(made: Awaitable[Any]) -> Any:
    try:
        return await made
    except SystemExit as error:  # it would stop the loop, not only this task
        raise RuntimeError from error


async def _closed(made: Any) -> None:
    if hasattr(made, "__aexit__"):
        await made.__aexit__(None, None, None)
        return
    close = next((getattr(made, name) for name in ("aclose", "close") if callable(getattr(made, name, None))), None)
    closing = close() if close else None
    if inspect.isawaitable(closing):
        await closing


async def awaited(result: Any) -> None:
    """Wait for one call's result, to its end if it is a stream; raises PlainCall if it is nothing to wait for."""
    if inspect.isawaitable(result):
        result = await result
        if not inspect.isasyncgen(result) and not _is_query(result):
            return
    if hasattr(result, "__aiter__"):
        async for _ in result:
            pass
        return
    kind = type(result).__name__
    if _is_query(result):
        raise PlainCall(f"the call returned a {kind}, {QUERY}")
    raise PlainCall(
        f"the call returned a {kind}, nothing to await: it is a plain function, and in an event loop it blocks. "
        "Hand over an async one, e.g. `async def call(): return await db.select(…)`, or, to probe what threads "
        "make of it, `lambda: asyncio.to_thread(call)`"
    )
