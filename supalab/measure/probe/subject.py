"""What is probed: whatever a learner hands over flows in, a call that makes one request each time flows out.

It may be an async callable without arguments, a client object (then a method of it is called), or a factory that
takes the lab's url and key and returns one of these.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from supalab.errors import SettingsError, SupalabError

__all__ = ["METHOD", "TABLE", "Call", "PlainCall", "Subject", "awaited", "opened", "understood"]

METHOD, TABLE = "select", "contests"
#: Makes one request; what it returns can be awaited, or iterated with ``async for``.
Call = Callable[[], Any]


class PlainCall(SettingsError):
    """A plain function was handed over where an async one is needed."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What was handed over, and how it is used: ``factory`` is called with (url, key) first."""

    what: Any
    name: str
    factory: bool
    method: str | None = None
    args: tuple[Any, ...] = (TABLE,)
    kwargs: Mapping[str, Any] = field(default_factory=dict)


def understood(
    what: Any,
    *,
    lab_given: bool,
    method: str | None = None,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Subject:
    """Return how ``what`` is to be used; raises SettingsError, with the line to write, for what cannot be probed."""
    if inspect.iscoroutine(what):
        what.close()
        raise SettingsError(
            "probe was given a call that has already been made: hand over the function itself, "
            'without brackets, e.g. probe(lambda: db.select("contests"), lab=lab)'
        )
    factory = _is_factory(what, lab_given)
    if not factory and not lab_given:
        raise SettingsError(
            "probe does not know which lab your client asks: write probe(…, lab=lab), or hand over what makes "
            "the client from a url and a key, e.g. probe(lambda url, key: MyClient(url, key))"
        )
    if isinstance(args, str):
        raise SettingsError(f"args {args!r} is a text: write args=({args!r},)")
    shown = name or _name_of(what)
    given = (TABLE,) if args is None else tuple(args)
    subject = Subject(what, shown, factory, method, given, dict(kwargs or {}))
    if not factory:
        call_of(what, subject)  # what cannot be called is refused now
    return subject


def _is_factory(what: Any, lab_given: bool) -> bool:
    """Whether it wants a url and a key; what takes anything is one only where it has no lab to know of."""
    if not callable(what):
        return False
    needs, takes = _binds(what), _binds(what, "url", "key")
    if needs is None:
        return False
    return bool(takes) and (not needs or inspect.isclass(what) or not lab_given)


def _binds(what: Any, *given: str) -> bool | None:
    try:
        inspect.signature(what).bind(*given)
    except TypeError:
        return False
    except ValueError:  # written in C, and says nothing of its arguments
        return None
    return True


def _name_of(what: Any) -> str:
    inner = getattr(what, "func", what)  # functools.partial
    named = getattr(inner, "__qualname__", None) or type(inner).__name__
    return str(named).rpartition("<locals>.")[2]


def call_of(what: Any, subject: Subject) -> Call:
    """Return the call to make on ``what``: itself, or its method; raises SettingsError if there is neither."""
    if subject.method is None and callable(what) and not inspect.isclass(what):
        return what  # type: ignore[no-any-return]  # callable() was asked
    name = subject.method or METHOD
    method = getattr(what, name, None)
    if not callable(method):
        raise SettingsError(
            f"{subject.name} is a {type(what).__name__} here, which has no method {name!r}: name one that makes a "
            'request, e.g. method="get", args=("contests",), or hand over an async function without arguments'
        )
    return lambda: method(*subject.args, **subject.kwargs)


@asynccontextmanager
async def opened(subject: Subject, url: str, key: str) -> AsyncIterator[Call]:
    """Make the client, if it has to be made, and close it afterwards; yield the call that makes one request.

    Raises SettingsError when it cannot be made.
    """
    if not subject.factory:
        yield call_of(subject.what, subject)
        return
    made = await _made(subject, url, key)
    if not _is_client(made, subject) and _asks_itself(subject):
        yield lambda: subject.what(url, key)
        return
    entered = await made.__aenter__() if hasattr(made, "__aenter__") else made
    try:
        yield call_of(made if entered is None else entered, subject)
    finally:
        await _closed(made)


async def _made(subject: Subject, url: str, key: str) -> Any:
    try:
        made = subject.what(url, key)
        return await made if inspect.isawaitable(made) else made
    except SupalabError:
        raise
    except Exception as error:
        said = str(error).replace(key, "(the key)").strip().partition("\n")[0]
        why = f"{type(error).__name__}: {said}" if said else type(error).__name__
        raise SettingsError(f"{subject.name}(url, key) did not make a client: {why}") from error


def _is_client(made: Any, subject: Subject) -> bool:
    return callable(made) or callable(getattr(made, subject.method or METHOD, None))


def _asks_itself(subject: Subject) -> bool:
    """Whether it is no factory after all: an async function of url and key that makes one request."""
    inner = getattr(subject.what, "func", subject.what)
    return inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner)


async def _closed(made: Any) -> None:
    if hasattr(made, "__aexit__"):
        await made.__aexit__(None, None, None)
        return
    for name in ("aclose", "close"):
        close = getattr(made, name, None)
        if callable(close):
            closing = close()
            if inspect.isawaitable(closing):
                await closing
            return


async def awaited(result: Any) -> None:
    """Wait for one call's result, to its end if it is a stream; raises PlainCall if it is nothing to wait for."""
    if inspect.isawaitable(result):
        result = await result
        if not inspect.isasyncgen(result):
            return
    if not hasattr(result, "__aiter__"):
        raise PlainCall(
            f"the call returned a {type(result).__name__}, nothing to await: it is a plain function, and in an event "
            "loop it blocks. Hand over an async one, e.g. `async def call(): return await db.select(…)`, or, to "
            "probe what threads make of it, `lambda: asyncio.to_thread(call)`"
        )
    async for _ in result:
        pass
