# The source of 06_cautions.ipynb; rebuild with: python -m supalab.course.build

# %% [markdown]
# # 06 · Cautions
#
# **10 minutes.** The new client's errors have other names, it keeps fewer connections than you think, and it has four timeouts but no total.
#
# - **You will** raise each error for real; mend a function whose errors slip through; find a request that no read timeout ends.
# - **You need** notebook [05](05_step_3_the_context_manager.ipynb), or an `httpx.AsyncClient` of your own and some curiosity.

# %%
import asyncio
import inspect
import time

import httpx
import requests

from supalab import ArticleSupabaseAsync, SupabaseAsync
from supalab.clients.variants import KeptSupabaseAsync
from supalab.course import NotDone, check, observe, predict, start_lab
from supalab.course.drips import drips, read_drips
from supalab.course.odd_servers import a_page, closed_port, dripping, hanging_up, silent
from supalab.errors import ClientError

lab = start_lab(latency=0.5)
headers, contests_url = {"apikey": lab.key}, f"{lab.url}/rest/v1/contests?limit=1"

# %% [markdown]
# ## New names for old troubles
#
# The article has one line on errors: `requests.HTTPError` becomes `httpx.HTTPError`. Error handlers are the code that runs least and matters
# most, so let's raise real errors and see, on both sides: same address, same options. (`trust_env = False` keeps your machine's proxies out.)


# %%
def old(url, **options):
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(url, headers=headers, **options)
        answer.raise_for_status()
        answer.json()


async def new(url, **options):
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(url, headers=headers, **options)
        answer.raise_for_status()
        answer.json()


async def error_of(work):
    try:
        await work
    except Exception as error:
        return error


# %% [markdown]
# ## What does an old `except` still catch?
#
# Seven things go wrong: an answer of 404; a port where nobody listens; a server that hangs up; one that is late; one that is silent in the TLS
# handshake; a web page in place of JSON; an address that is none. With `requests`, an old `except OSError` catches all seven.
# How many does it still catch after the migration?

# %%
guess = predict("except OSError around httpx", None, unit="of 7 faults")
guess

# %%
lab.set(latency=0.5)
with hanging_up() as hangs_up, silent() as says_nothing, a_page() as page:
    faults = {
        "an answer of 404": (f"{lab.url}/rest/v1/no_such_table", {"timeout": 5}),
        "nobody listens": (closed_port(), {"timeout": 5}),
        "it hangs up": (hangs_up, {"timeout": 5}),
        "the answer is late": (contests_url, {"timeout": 0.1}),
        "no word of TLS": (says_nothing, {"timeout": 0.1}),
        "a page, not JSON": (page, {"timeout": 5}),
        "no address": ("http://contests:port/", {"timeout": 5}),
    }
    errors = {}
    for what, (url, options) in faults.items():
        before = await error_of(asyncio.to_thread(old, url, **options))
        errors[what] = before, await error_of(new(url, **options))


# %%
def yes(error, kind):
    return "yes" if isinstance(error, kind) else "no"


print(f"{'':20}{'requests':18}{'httpx':22}httpx.HTTPError?  OSError? before -> after")
for what, (before, after) in errors.items():
    names = f"{what:20}{type(before).__name__:18}{type(after).__name__:22}"
    print(f"{names}{yes(after, httpx.HTTPError):18}{yes(before, OSError)} -> {yes(after, OSError)}")
print(guess.beside(sum(isinstance(after, OSError) for _, after in errors.values())))

# %% [markdown]
# Read it row by row:
#
# - The article's line changes what is caught. `requests.HTTPError` is an error status, which httpx calls `HTTPStatusError`. `httpx.HTTPError`
#   is the *base* of that and of all transport errors, such as a refused connection or a timeout.
# - Every error of `requests` is an `OSError`; none of httpx's is. A handler that says `except OSError` goes blind.
# - The same fault can change its kind: a server that is silent in the TLS handshake is late to *read* for `requests`, to *connect* for httpx.
# - Two rows are no `httpx.HTTPError` at all: a body that is not JSON (`requests` had a name of its own for it), and an address
#   that is none.
#
# And handlers with other names, old and new?


# %%
def caught(kind, side):
    return sum(isinstance(pair[side], kind) for pair in errors.values())


for kind in (requests.HTTPError, httpx.HTTPError, httpx.HTTPStatusError, requests.RequestException, OSError):
    name = f"{kind.__module__.partition('.')[0]}.{kind.__name__}".removeprefix("builtins.")
    print(f"except {name:28} before: {caught(kind, 0)}   after: {caught(kind, 1)}")

# %% [markdown]
# The first two lines are the article's: a handler that meant "there is no such row" now also takes "there is no server".
#
# Nothing crashes on the day of the migration. The handlers stay, the tests pass, and the first refused connection goes straight
# through all of them.
#
# ## Exercise 06a · Catch what httpx raises
#
# This function has been migrated, and its `except` has not. Mend it: whatever goes wrong with the *request* reaches its caller as `ClientError`.
# Do not catch mistakes in the program, nor cancellation.
#
# | what happens | the caller sees |
# |---|---|
# | rows | rows |
# | a status of 404, a refused or broken connection, a late answer, no connection free in time, a page in place of JSON | `ClientError` |
# | the caller is cancelled | `CancelledError` |
# | the client was closed: our own mistake | `RuntimeError` |


# %% exercise 06a
async def contests(client, url):
    """Rows; whatever goes wrong with the request reaches the caller as ClientError."""
    #: raise NotDone("remove this line when you begin")
    try:
        answer = await client.get(url)
        answer.raise_for_status()
        return answer.json()
    # <solution>
    except (httpx.HTTPError, ValueError) as error:
        raise ClientError(f"{type(error).__name__}: {error}") from error
    # </solution>
    #: except requests.RequestException as error:
    #:     raise ClientError(f"{type(error).__name__}: {error}") from error


# %%
await check("06a", contests)

# %% [markdown]
# ## "Connection pooling is automatic"
#
# It is: nobody dials by hand. But the article's client has `max_connections=10` and `max_keepalive_connections=5`: ten may be open, and
# five may be kept. Sixty requests, ten at a time: how many connections does the lab see? And how many from `kept-10`, the same client with
# one number changed, so that all ten may be kept?

# %%
dialled = predict("60 requests through article-10", None, unit="connections")
dialled

# %%
lab.set(latency=0.05)
async with ArticleSupabaseAsync(lab.url, lab.key, limit=10) as db:
    article_10 = await observe(db, lab, "article-10", requests=60)
async with KeptSupabaseAsync(lab.url, lab.key, limit=10) as db:
    kept_10 = await observe(db, lab, "kept-10", requests=60)
print(dialled.beside(article_10.witness.connections))
print("article-10:", article_10.witness.connections, "  kept-10:", kept_10.witness.connections)

# %% [markdown]
# While more than five connections are open, httpx's [pool](glossary.md#connection-pool) closes each one as soon as it has nothing to do, even with callers in the
# queue (seen in httpcore 1.0.9). So nearly every request dials; on a real link that costs [round trips](glossary.md#round-trip), and more for TLS. Keep as many as
# you may open.
#
# When all connections are taken, the pool makes callers wait, and gives up after a [**pool timeout**](glossary.md#pool-timeout) that `requests` never had:

# %%
lab.set(latency=0.5)
few = {"limits": httpx.Limits(max_connections=2), "timeout": httpx.Timeout(5, pool=0.1)}
async with httpx.AsyncClient(headers=headers, trust_env=False, **few) as two:
    found = await asyncio.gather(*(error_of(two.get(contests_url)) for _ in range(6)))
print([type(error).__name__ if error else "rows" for error in found])

# %% [markdown]
# (Even this does not bound your time in the queue: when a kept connection comes free and another caller gets it, your 0.1 s begin anew. Seen in
# httpcore 1.0.9.)
#
# ## Four timeouts, and no total
#
# | | `requests` | `httpx` |
# |---|---|---|
# | connect, write, read, pool | connect and read; none unless you ask | four, 5 s each |
# | what a *read* timeout bounds | the wait for the first piece of an answer, and each gap after it | the same |
# | the whole request | no | no |
#
# A server sends 25 bytes, one every 0.1 s. Your read timeout is 0.3 s. After how many seconds is the call over, and is it with an error or with
# an answer? (About 3 seconds.)

# %%
for kind in (requests.Session.request, httpx.AsyncClient):
    print(f"{kind.__qualname__}: {inspect.signature(kind).parameters['timeout'].default}")
drip = predict("25 drops, 0.1 s apart, read timeout 0.3 s", None)
drip

# %%
async with httpx.AsyncClient(timeout=0.3, trust_env=False) as client:
    with dripping(gap_s=0.1, size=25) as url:
        reads = read_drips(client, url), read_drips(client, url, within=1.0)
        alone, within = await asyncio.gather(*reads)
print(drip.beside(alone.done))
drips({"httpx, read timeout alone": alone, "httpx, asyncio.timeout(1)": within}, read_timeout=0.3)

# %% [markdown]
# With a read timeout alone the answer came, and no error: every gap was shorter than the timeout. A server that drips, by fault or by malice,
# holds your request for as long as it likes. The cure is one line around the whole, wait for a connection included:
#
# ```python
# async with asyncio.timeout(1.0):
#     answer = await client.get(url)
# ```
#
# It raises the built-in `TimeoutError`: an `OSError` this time, and no `httpx.TimeoutException`. Our own client has this [deadline](glossary.md#deadline) inside,
# and says which wait it was that took too long:

# %%
with dripping(gap_s=0.1, size=25) as url:
    async with SupabaseAsync(url, None, timeout=1.0, rest_path="") as db:
        began = time.perf_counter()
        error = await error_of(db.select("contests"))
print(f"{type(error).__name__} after {time.perf_counter() - began:.1f} s: {error}")

# %% [markdown]
# ## In practice
#
# - **Search for `requests.` in your `except` clauses** before you migrate, and for `OSError`, `IOError` and `ConnectionError`, which hide better.
# - **Translate once**, in `_request`, into errors of your own. Then the next migration changes one place.
# - **A quiet service dials, too**: httpx drops a connection that was idle for 5 s (`keepalive_expiry` in `Limits`).
# - **Set a total for each request**, and let it be shorter than your own caller's patience.

# %% [markdown]
# ## Recap
#
# <details><summary>Which single name catches an error status, a refused connection and a late answer in httpx?</summary>
#
# <code>httpx.HTTPError</code>. Not a body that is no JSON, not <code>httpx.InvalidURL</code>, and not <code>TimeoutError</code> of
# <code>asyncio.timeout</code>.
# </details>
#
# <details><summary>"We set <code>timeout=30</code>, so no request takes longer than 30 s." Is that so?</summary>
#
# No. It bounds each wait, and there is no bound on how many there are. A byte every 29 s never offends it.
# </details>
#
# <details><summary>Your pool has 10 connections and keeps 5. Which traffic never notices?</summary>
#
# Traffic with at most 5 in flight: never more than 5 connections are open. So a test with one caller, or a quiet week, shows nothing.
# </details>
#
# **Next:** [07 · Side by side](07_side_by_side.ipynb), where the article's whole experiment runs on your machine.
