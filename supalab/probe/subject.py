"""Turn the argument of ``probe`` into a call that makes one request each time.

It may be an async callable without arguments, a client object (then a method of it is called), or a factory that
takes the lab's url and key and returns one of these.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import Any

from supalab.errors import SettingsError, SupalabError

METHOD, TABLE = "select", "contests"
MAKE_S = 3.0
REQUEST = 'e.g. lambda: db.table("contests").select("*").limit(10).execute()'
QUERY = "a query that is not sent yet: pass what sends it, e.g. lambda: builder.execute()"
FACTORY_CURE = "pass what makes the client from a url and a key, e.g. probe(lambda url, key: MyClient(url, key))"
METHOD_CURE = "name one that makes a request (get, say, with its arguments), or pass an async function that makes one"
#: Makes one request; what it returns can be awaited, or iterated with ``async for``.
Call = Callable[[], Any]


class PlainCall(SettingsError):
    """A plain function was passed where an async function is needed."""


class Subject:
    """The client to probe and how to use it; raises SettingsError, with the line to write, if it cannot be probed.

    ``lab_given``: the caller says which lab the client uses. ``in_environment``: the lab's url and key are in the
    environment, so a factory needs no arguments.
    """

    def __init__(
        self, what: Any, lab_given: bool, in_environment: bool, method: str | None, args: Sequence[Any] | None,
        name: str | None,
    ) -> None:  # fmt: skip
        if inspect.iscoroutine(what):
            what.close()
            raise SettingsError(
                "probe was given a call that has already been made: pass the function itself, "
                'without parentheses, e.g. probe(lambda: db.select("contests"), lab=lab)'
            )
        if isinstance(args, str):
            raise SettingsError(f"args {args!r} is a text: write args=({args!r},)")
        self.name = name or _name_of(what)
        #: Why a client that was made could not be closed.
        self.unclosed = ""
        self._what, self._method, self._args = what, method, (TABLE,) if args is None else tuple(args)
        self._make = _factory(what, lab_given, in_environment)
        if self._make is None and not lab_given:
            raise SettingsError(
                f"probe does not know which lab your client uses: write probe(…, lab=lab), or {FACTORY_CURE}"
            )
        if self._make is None:
            self._call_on(what)  # an object that cannot be called is refused now

    @asynccontextmanager
    async def opened(self, url: str, key: str) -> AsyncIterator[Call]:
        """Create the client if necessary, and close it afterwards; yield the call that makes one request.

        Raises SettingsError if it cannot be created or opened.
        """
        if self._make is None:
            yield self._call_on(self._what)
            return
        made = await self._made(self._make, url, key)
        entered = None
        if hasattr(type(made), "__aexit__"):
            try:
                entered = await _in_time(made.__aenter__())
            except (Exception, SystemExit) as error:
                raise self._not_made(error, key) from error
        try:
            yield self._call_on(made if entered is None else entered)
        finally:
            try:
                await _in_time(_close(made))
            except (Exception, SystemExit) as error:
                self.unclosed = reason(error).replace(key, "(the key)")

    def _not_made(self, error: BaseException, key: str) -> SettingsError:
        return SettingsError(f"{self.name} did not make a client: {reason(error).replace(key, '(the key)')}")

    async def _made(self, make: Callable[[str, str], Any], url: str, key: str) -> Any:
        """Return the client; if an async function made a request instead, return the call of that function."""
        try:
            made = make(url, key)
        except SupalabError:
            raise
        except (Exception, SystemExit) as error:
            raise self._not_made(error, key) from error
        if inspect.isasyncgen(made):
            await made.aclose()
            return lambda: make(url, key)
        if not inspect.isawaitable(made):
            return made
        try:
            made = await asyncio.wait_for(_safely(made), MAKE_S)
        except Exception:  # the first call will give a better error
            return lambda: make(url, key)
        is_client = callable(made) or callable(getattr(made, METHOD, None)) or _is_query(made) or _builds_queries(made)
        return made if is_client or self._method else lambda: make(url, key)

    def _call_on(self, client: Any) -> Call:
        """Return the call to make: the client itself, or its method; raises SettingsError if there is neither."""
        if inspect.isclass(client):
            raise SettingsError(f"{self.name} is a class that is not made from a url and a key: {FACTORY_CURE}")
        if self._method is None and callable(client):
            return client  # type: ignore[no-any-return]  # callable() was asked
        name = self._method or METHOD
        method = getattr(client, name, None)
        if callable(method):
            return lambda: method(*self._args)
        if _is_query(client):
            raise SettingsError(f"{self.name} is {_kind(client)}, {QUERY}")
        cure = METHOD_CURE
        if _builds_queries(client):
            made = f"; db is what {self.name} makes from lab.url and lab.key" if self._make else ""
            cure = f"pass a whole request, {REQUEST}{made} (or let your own factory return that lambda)"
        verb = "returned" if self._make else "is"
        raise SettingsError(f"{self.name} {verb} {_kind(client)}, which has no method {name!r}: {cure}")


def _is_query(result: Any) -> bool:
    """Return whether this is a query like the official client's, which ``execute`` sends."""
    return callable(getattr(result, "execute", None))


def _builds_queries(client: Any) -> bool:
    """Return whether this is a client like the official one, whose queries begin with a table."""
    return callable(getattr(client, "table", None)) or callable(getattr(client, "from_", None))


def _factory(what: Any, lab_given: bool, in_environment: bool) -> Callable[[str, str], Any] | None:
    """Return what creates a client from a url and a key; any other callable counts only if no lab is known."""
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


async def _safely(made: Any) -> Any:
    try:
        return await made
    except SystemExit as error:  # the error would stop the loop, not only this task
        raise RuntimeError from error


async def _in_time(doing: Awaitable[Any]) -> Any:
    """Wait in this task, because a context manager must be left in the task that entered it."""
    try:
        async with asyncio.timeout(MAKE_S):
            return await doing
    except TimeoutError as error:
        raise TimeoutError(str(error) or f"more than {MAKE_S:.0f} s") from error


async def _close(made: Any) -> None:
    if hasattr(type(made), "__aexit__"):
        await made.__aexit__(None, None, None)
        return
    close = getattr(made, "aclose", None) or getattr(made, "close", None)
    closing = close() if callable(close) else None
    if inspect.isawaitable(closing):
        await closing


def reason(error: BaseException) -> str:
    """Return an error's name and the first line of its words; of a group, those of its first error."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    words = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _kind(thing: Any) -> str:
    return "None" if thing is None else f"a {type(thing).__name__}"


async def awaited(result: Any) -> None:
    """Wait for one call's result, a stream to its end; raises PlainCall if there is nothing to await."""
    if inspect.isawaitable(result):
        result = await result
        if not inspect.isasyncgen(result) and not _is_query(result):
            return
    if hasattr(result, "__aiter__"):
        async for _ in result:
            pass
        return
    if _is_query(result):
        raise PlainCall(f"the call returned {_kind(result)}, {QUERY}")
    if isinstance(result, Future):
        raise PlainCall("the call returned a thread's future: await it with asyncio.wrap_future(future)")
    raise PlainCall(
        f"the call returned {_kind(result)}, nothing to await: it is a plain function, and in an event loop it blocks. "
        "Pass an async one, e.g. `async def call(): return await db.select(…)`, or, to probe it in "
        "threads, `lambda: asyncio.to_thread(call)`"
    )
