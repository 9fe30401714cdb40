# The source of 06_cautions.ipynb; rebuild with: python -m supalab.course.build

# %% [markdown]
# # 06 · Cautions
#
# **21 minutes.** Three things change when you move from `requests` to `httpx`: the names of errors, the number of connections that stay open, and the timeouts.
#
# - **You will** raise each error for real; fix a function that misses some of them; find a request that no read timeout stops.
# - **You need** notebook [05](05_step_3_the_context_manager.ipynb), or an `httpx.AsyncClient` of your own.

# %%
import asyncio
import time

import httpx
import requests

from supalab import ArticleSupabaseAsync, ClientError, SupabaseAsync
from supalab.course import NotDone, charts, check, faulty_server, observe, predict, start_lab

lab = start_lab(latency=0.5)
headers, contests_url = {"apikey": lab.key}, f"{lab.url}/rest/v1/contests?limit=1"

# %% [markdown]
# ## Part 1: errors have new names
#
# The article has one line about errors: `requests.HTTPError` becomes `httpx.HTTPError`. Error handlers run rarely and matter a lot, so we raise real
# errors in both libraries, with the same address and the same options.


# %%
def old(url, **options):
    with requests.Session() as session:
        response = session.get(url, headers=headers, **options)
        response.raise_for_status()
        response.json()


async def new(url, **options):
    async with httpx.AsyncClient() as client:
        response = await client.get(url, headers=headers, **options)
        response.raise_for_status()
        response.json()


async def error_of(work):
    try:
        await work
    except Exception as error:
        return error


# %% [markdown]
# ## What does an old `except` still catch?
#
# We try seven faults: status 404; connection refused; connection closed by the server; a read timeout; a stalled TLS handshake; HTML instead of JSON; an
# invalid URL. With `requests`, an `except OSError` catches all seven. How many does it still catch after the migration?

# %%
guess = predict("except OSError around httpx", None, unit="of 7 faults")
guess

# %%
lab.set(latency=0.5)
with (
    faulty_server("refuses") as refuses,
    faulty_server("closes") as closes,
    faulty_server("silent") as silent,
    faulty_server("html") as html,
):
    faults = {
        "status 404": (f"{lab.url}/rest/v1/no_such_table", {"timeout": 5}),
        "connection refused": (refuses, {"timeout": 5}),
        "connection closed": (closes, {"timeout": 5}),
        "read timeout": (contests_url, {"timeout": 0.1}),
        "stalled TLS handshake": (silent, {"timeout": 0.1}),
        "HTML, not JSON": (html, {"timeout": 5}),
        "invalid URL": ("http://contests:port/", {"timeout": 5}),
    }
    errors = {}
    for what, (url, options) in faults.items():
        before = await error_of(asyncio.to_thread(old, url, **options))
        errors[what] = before, await error_of(new(url, **options))


# %%
def yes(error, kind):
    return "yes" if isinstance(error, kind) else "no"


print(f"{'':23}{'requests':18}{'httpx':22}httpx.HTTPError?  OSError? before -> after")
for what, (before, after) in errors.items():
    names = f"{what:23}{type(before).__name__:18}{type(after).__name__:22}"
    print(f"{names}{yes(after, httpx.HTTPError):18}{yes(before, OSError)} -> {yes(after, OSError)}")
print(guess.compare(sum(isinstance(after, OSError) for _, after in errors.values())))

# %% [markdown]
# - The article's line changes what is caught. `requests.HTTPError` means an error status, which httpx calls `HTTPStatusError`. `httpx.HTTPError` is the
#   *base class* of this error and of all transport errors, such as a refused connection or a timeout.
# - Every error of `requests` is an `OSError`, and no error of httpx is. A handler that says `except OSError` no longer catches any of them.
# - The same fault can change its kind. A stalled TLS handshake is a *read* timeout in `requests` and a *connect* timeout in httpx.
# - Two rows are not subclasses of `httpx.HTTPError`: a body that is not JSON, and an invalid URL.
#
# How many faults do other handlers catch?


# %%
def caught(kind, side):
    return sum(isinstance(pair[side], kind) for pair in errors.values())


for kind in (requests.HTTPError, httpx.HTTPError, httpx.HTTPStatusError, requests.RequestException, OSError):
    name = f"{kind.__module__.partition('.')[0]}.{kind.__name__}".removeprefix("builtins.")
    print(f"except {name:28} before: {caught(kind, 0)}   after: {caught(kind, 1)}")

# %% [markdown]
# The first two lines are the article's. A handler that meant "this row does not exist" now also handles "the server does not answer".
#
# Nothing crashes on the day of the migration. The handlers are still there and the tests pass. Then a connection is refused for the first time, and an old
# handler such as `except OSError` does not catch the error.
#
# ## Exercise 06a · Catch what httpx raises
#
# This function has been migrated, but its `except` has not. Change the `except` so that every fault of a *request* reaches the caller as `ClientError`.
# Do not catch mistakes in the program, and do not catch a cancellation.
#
# | what happens | the caller sees |
# |---|---|
# | rows | the rows |
# | status 404, a refused or closed connection, a read timeout, no free connection in time, HTML instead of JSON | `ClientError` |
# | the caller is cancelled | `CancelledError` |
# | the client was already closed: our own mistake | `RuntimeError` |
# | an invalid URL: our own mistake | `httpx.InvalidURL` |


# %% exercise 06a
# hint: There are three groups: errors of httpx, with one base class; a body that is not JSON; and everything else, which you should not catch.
# hint: except (httpx.HTTPError, ValueError) as error: the first is the base of status and transport errors, the second is what response.json() raises.
# await_get: client.get gives a coroutine: await it to get the response.
# await_json: Is there an await before response.json()? In httpx this is an ordinary method.
# hides: The request succeeded, so the error is a mistake in the function, and its own except has hidden which one.
# no_rows: If the request succeeds, the caller should get the rows: return response.json().
# returned: You return the error, and the caller takes it for a result. Raise it.
# not_told: The fault was caught, and the caller was not told. After except, write raise ClientError(…) from error.
# unknown_name: The name after except is not known here: is its module imported, and is it spelled correctly?
# not_in_module: The name after except is a name that its module does not have: look at the table above for the names of the errors.
# no_class: After except comes one class of errors, or several in parentheses: except (This, That) as error.
# other_class: The names in your except clause do not cover what httpx raises: its errors are neither requests' errors nor OSErrors. Which class is the base of a refused connection, a timeout and an error status? If you catch it, raise a ClientError, not the same error again.
# as_rows: The server's error was returned as if it were rows: response.raise_for_status() must come first.
# only_status: HTTPStatusError is raised for a response with an error status. A fault before the response, such as a refused connection or a timeout, has another name; one base class covers both.
# not_json: The body is HTML, not JSON: response.json() then raises a ValueError, which is not an error of httpx. In requests it was a RequestException. Catch both, in parentheses: except (This, That) as error.
# cancel_swallowed: Your code swallowed CancelledError. It is a BaseException, and catching it breaks every timeout around your function.
# mistake_hidden: A closed client and an invalid URL are mistakes in the program. If they are reported as failed requests, people look for them at the server. Catch what a request can raise, not every Exception and not httpx.InvalidURL.
async def contests(client, url):
    """Return rows; raise ClientError if the request fails."""
    #: raise NotDone("remove this line when you begin")
    try:
        response = await client.get(url)
        response.raise_for_status()
        return response.json()
    # <solution>
    except (httpx.HTTPError, ValueError) as error:
        raise ClientError(f"{type(error).__name__}: {error}") from error
    # </solution>
    #: except requests.RequestException as error:
    #:     raise ClientError(f"{type(error).__name__}: {error}") from error


# %%
await check("06a", contests)

# %% [markdown]
# ## Part 2: "connection pooling is automatic"
#
# This is true: you never open connections yourself. But the article's client has `max_connections=10` and `max_keepalive_connections=5`. Ten connections
# may be open, and five may stay open while they are idle. We send sixty requests, ten at a time. How many connections will the lab see? And how many will it
# see from `kept-10`, the same client with one number changed, so that ten may stay open?

# %%
opened = predict("60 requests through article-10", None, unit="connections")
opened


# %%
class KeptSupabaseAsync(ArticleSupabaseAsync):
    async def _get_client(self):
        if self._client is None:
            limits = httpx.Limits(max_connections=10, max_keepalive_connections=10)  # the article has 10 and 5
            self._client = httpx.AsyncClient(headers=self._headers, limits=limits)
        return self._client


lab.set(latency=0.05)
async with ArticleSupabaseAsync(lab.url, lab.key, limit=10) as db:
    article_10 = await observe(db, lab, "article-10", requests=60)
async with KeptSupabaseAsync(lab.url, lab.key, limit=10) as db:
    kept_10 = await observe(db, lab, "kept-10", requests=60)
print(opened.compare(article_10["connections"]))
print("article-10:", article_10["connections"], "  kept-10:", kept_10["connections"])

# %% [markdown]
# While more than five connections are open, httpx's [pool](glossary.md#connection-pool) closes each connection as soon as it is idle, even if callers are
# waiting (seen in httpcore 1.0.9). So nearly every request opens a new connection. On a real network this costs [round trips](glossary.md#round-trip), and
# more with TLS. Therefore set both limits to the same number.
#
# If all connections are busy, callers wait in the pool. They give up after a [**pool timeout**](glossary.md#pool-timeout), which `requests` does not have:

# %%
lab.set(latency=0.5)
few = {"limits": httpx.Limits(max_connections=2), "timeout": httpx.Timeout(5, pool=0.1)}
async with httpx.AsyncClient(headers=headers, **few) as two:
    found = await asyncio.gather(*(error_of(two.get(contests_url)) for _ in range(6)))
print([type(error).__name__ if error else "rows" for error in found])

# %% [markdown]
# (Even a pool timeout does not limit your time in the queue. If another caller gets the idle connection first, your 0.1 s start again. Seen in httpcore 1.0.9.)
#
# ## Part 3: four timeouts, and no total limit
#
# | | `requests` | `httpx` |
# |---|---|---|
# | timeouts | connect and read; none by default | connect, write, read and pool; 5 s each by default |
# | what a *read* timeout limits | the time until the first part of the response, and each gap after it | the same |
# | a limit for the whole request | no | no |
#
# A server sends a response in 25 one-byte chunks, one every 0.1 s. Your read timeout is 0.3 s. After how many seconds does the call end? Does it end with
# an error or with a response? (About 3 seconds.)

# %%
drip = predict("25 chunks, 0.1 s apart, read timeout 0.3 s", None)
drip


# %%
async def read(client, url, within=None):
    began, arrived, outcome = time.perf_counter(), [], "answered"
    try:
        async with asyncio.timeout(within), client.stream("GET", url) as response:
            async for _ in response.aiter_raw():
                arrived.append(time.perf_counter() - began)
    except (httpx.HTTPError, TimeoutError) as error:
        outcome = type(error).__name__
    return arrived, time.perf_counter() - began, outcome


async with httpx.AsyncClient(timeout=0.3) as client:
    with faulty_server("slow") as url:
        alone, within = await asyncio.gather(read(client, url), read(client, url, within=1.0))
print(drip.compare(alone[1]))
charts.chunks({"httpx, read timeout alone": alone, "httpx, asyncio.timeout(1)": within}, read_timeout=0.3)

# %% [markdown]
# With only a read timeout the response arrived and there was no error, because every gap was shorter than the timeout. A slow server can hold your
# request for as long as it likes. One line around the whole call prevents this. It also covers the wait for a connection:
#
# ```python
# async with asyncio.timeout(1.0):
#     response = await client.get(url)
# ```
#
# It raises the built-in `TimeoutError`, which is an `OSError` and not an `httpx.TimeoutException`. Our own client has this
# [deadline](glossary.md#deadline) inside, and its message says which wait took too long:

# %%
with faulty_server("slow") as url:
    async with SupabaseAsync(url, None, timeout=1.0, rest_path="") as db:
        began = time.perf_counter()
        error = await error_of(db.select("contests"))
print(f"{type(error).__name__} after {time.perf_counter() - began:.1f} s: {error}")

# %% [markdown]
# ## In practice
#
# - **Before you migrate, search for `requests.` in your `except` clauses.** Also search for `OSError`, `IOError` and `ConnectionError`.
# - **Translate errors once**, in `_request`, into your own exception classes. Then the next migration changes one place.
# - **A quiet service opens new connections too.** httpx closes a connection that was idle for 5 s (`keepalive_expiry` in `Limits`).
# - **Set one deadline for each request.** Make it shorter than your own caller's timeout.

# %% [markdown]
# ## Recap
#
# <details><summary>Which single name in httpx catches an error status, a refused connection and a read timeout?</summary>
#
# <code>httpx.HTTPError</code>. It does not catch a body that is not JSON, <code>httpx.InvalidURL</code>, or the <code>TimeoutError</code> of
# <code>asyncio.timeout</code>.
# </details>
#
# <details><summary>"We set <code>timeout=30</code>, so no request takes longer than 30 s." Is that right?</summary>
#
# No. The timeout limits each wait, and a request may have any number of waits. A server that sends one byte every 29 s never reaches this timeout.
# </details>
#
# <details><summary>Your pool may open 10 connections and keep 5 of them idle. Which traffic is not affected?</summary>
#
# Traffic with at most 5 requests in flight, because then there are never more than 5 connections. So a test with one caller shows nothing.
# </details>
#
# **Next:** in [07 · Side by side](07_side_by_side.ipynb) the article's whole experiment runs on your machine.
