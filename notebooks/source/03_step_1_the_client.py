# The source of 03_step_1_the_client.ipynb; rebuild with: python -m supalab.course.build

# %% [markdown]
# # 03 · Step 1: the client
#
# **19 minutes.** The migration begins. You replace the thread pool with one `httpx` client, and you learn when to create it.
#
# - **You will** read step 1 as a diff; break a lazily created client in three ways and count the damage; write a lazy client that works.
# - **You need** notebook [02](02_inside_the_loop.ipynb): when an `await` lets other tasks run.

# %%
import asyncio
import difflib
import inspect
import time

import httpx
import psutil

from supalab import ArticleSupabaseAsync, FakeSupabaseAsync, SupabaseAsync
from supalab.course import NotDone, charts, check, observe, predict, start_lab

lab = start_lab(latency=0.15)

# %% [markdown]
# ## What step 1 changes
#
# Lines with `-` are from the client that you replace. Lines with `+` are from the article's client.


# %%
def source(kind):
    methods = [vars(kind)[name] for name in ("__init__", "_get_client") if name in vars(kind)]
    return "\n".join(map(inspect.getsource, methods)).splitlines()


sides = source(FakeSupabaseAsync), source(ArticleSupabaseAsync), "fake.py", "article.py"
print("\n".join(difflib.unified_diff(*sides, lineterm="", n=20)))

# %% [markdown]
# The executor is gone. `_client` begins as `None` (a line of the class that is not printed here), and `_get_client` creates an `httpx.AsyncClient` at the
# first call. Such a client is [**lazy**](glossary.md#lazy-client). (Not printed either: the default limit goes from 3 to 10. That is a second change,
# and notebook 00 showed which of the two saves time.)
#
# Why does `__init__` not create it? Because people write this at the top of a module:
#
# ```python
# db = ArticleSupabaseAsync(url, key)     # runs at import
# ```
#
# What would it cost to create the `httpx` client at import?


# %%
def timed(what, make):
    began = time.perf_counter()
    make()
    print(f"{what:<40}{1000 * (time.perf_counter() - began):8.2f} ms")


tls = httpx.create_ssl_context()
timed("httpx.AsyncClient()", httpx.AsyncClient)
timed("the same, with certificates already read", lambda: httpx.AsyncClient(verify=tls))
timed("ArticleSupabaseAsync(...), lazy", lambda: ArticleSupabaseAsync(lab.url, lab.key))

# %% [markdown]
# Nearly all of the time goes into reading certificates. Every test run and every `--help` would pay for it. So the client is created at its first use.
# (`httpx` needs a running loop only when it opens a connection.)
#
# Does the client respect its [limit](glossary.md#limit)? Twenty callers start at once, before any client exists.

# %%
async with ArticleSupabaseAsync(lab.url, lab.key, limit=10) as db:
    await observe(db, lab, "article-10", requests=20)
print(lab.witness())

# %% [markdown]
# There were 10 requests in flight, as expected. But there were more than 10 connections. The second number in `Limits` causes this: it says how many idle
# connections may stay open. Notebook [06](06_cautions.ipynb) measures the cost.

# %% [markdown]
# ## The first way to break it: an `await` in the wrong place
#
# Look at the method again. Between `if self._client is None` and `self._client = …` there is no `await`, so no other task can run between the two lines.
# Only this protects the client, and it is easy to lose: somebody adds one `await` between the two lines. Suppose the key comes from a secret store:


# %%
made = []


def open_sockets():  # of this process, to the lab
    port = int(lab.url.rpartition(":")[2])
    return sum(one.raddr[1:] == (port,) for one in psutil.Process().net_connections("tcp"))


def new_client(db):
    limits = httpx.Limits(max_connections=db._settings.limit)
    made.append(httpx.AsyncClient(headers=db._headers, limits=limits, verify=tls, trust_env=False))
    return made[-1]


class LookThenWait(ArticleSupabaseAsync):
    async def _get_client(self):
        if self._client is None:
            await asyncio.sleep(0.01)  # reads the key from a secret store
            self._client = new_client(self)
        return self._client


# %% [markdown]
# The limit is still 10. Again twenty callers start at once. How many requests will the lab see in flight at most?

# %%
guess = predict("the most in flight with limit 10", None, unit="requests")

before, earlier = open_sockets(), len(made)
async with LookThenWait(lab.url, lab.key, limit=10) as db:
    racy = await observe(db, lab, "racy-10", requests=20)
print(guess.compare(racy["peak"]))
print(f"{len(made) - earlier} clients created; {open_sockets() - before} sockets are still open after the end")

# %% [markdown]
# All twenty tasks saw `None`, so each one created its own client with its own limit of 10. Only the last client was stored and later closed. The others
# keep their sockets open, and no code will close them. To fix it, move the `await` above the `if`. This is also our control, because nothing else changes.


# %%
class WaitThenLook(ArticleSupabaseAsync):
    async def _get_client(self):
        await asyncio.sleep(0.01)  # reads the key from a secret store
        if self._client is None:
            self._client = new_client(self)
        return self._client


async with WaitThenLook(lab.url, lab.key, limit=10) as db:
    careful = await observe(db, lab, "careful-10", requests=20)

# %%
charts.timeline([careful, racy])

# %% [markdown]
# If `racy-10` finished faster, it did so only by breaking the limit that protects your server. A test with one caller shows none of this. We kept the
# clients in a list, so we can close them:

# %%
for client in made:
    await client.aclose()

# %% [markdown]
# ## The second way: close before the first use
#
# A service fails at start-up, and its clean-up code closes a client that was never used. Then a late task uses it. The first client
# below is the article's, the second is the client at the end of this course.

# %%
for kind in (ArticleSupabaseAsync, SupabaseAsync):
    before, db = open_sockets(), kind(lab.url, lab.key)
    await db.close()
    try:
        said = f"{len(await db.select('contests', limit=3))} rows"
    except RuntimeError as error:
        said = f"{type(error).__name__}: {error}"
    print(f"{kind.__name__}, sockets open: {open_sockets() - before}. {said}")
    await db.close()

# %% [markdown]
# In the article's client, `close()` saw `None` and did nothing. The states "not created yet" and "closed" look the same, so the next call opened a
# connection that no code will close. A client must remember that it was closed. Step 3 is about closing.

# %% [markdown]
# ## The third way: two event loops
#
# Each `asyncio.run` makes a loop and closes it at the end. You meet this in scripts that call it twice, in job queues, and in tests with one loop each.
# The next cell calls it three times with the same client. This happens in another thread, because the notebook's main thread already runs a loop. What
# will happen on the second loop? And on the third?


# %%
def on_a_new_loop(db):
    try:
        return asyncio.run(db.select("contests", columns="id", limit=1))
    except RuntimeError as error:
        return repr(error)


for kind in (ArticleSupabaseAsync, SupabaseAsync):
    db = kind(lab.url, lab.key)
    for turn in ("first", "second", "third"):
        print(f"{kind.__name__}, {turn} loop: {await asyncio.to_thread(on_a_new_loop, db)}")

# %% [markdown]
# The article's client failed on the second loop. It reused a pooled connection that belonged to a closed loop. The failure removed this connection from
# the pool, so the third attempt opened a new one and succeeded. In a test suite you would call this a flaky test.

# %% [markdown]
# ## Exercise 03a · Create a client at the right moment
#
# Write `_get_client` for this small class. Do this:
#
# 1. The first caller creates `httpx.AsyncClient(headers=self._headers, limits=httpx.Limits(max_connections=self._limit))`. Later callers get the same client.
# 2. If `asyncio.get_running_loop()` is not `self._loop`, create a new client, replace the old one and store the new loop. Do not close
#    the old one: its loop has already ended.
#
# | what the check looks at | expected |
# |---|---|
# | `httpx` clients before the first use | 0 |
# | clients for the first 10 callers at once | 1 |
# | most requests in flight with `limit=4` | 4 |
# | new connections for later requests | 0 |
# | the same object on a second loop | a response |


# %% exercise 03a
# hint: Check self._client and assign it with no await in between. Also ask which loop is running: asyncio.get_running_loop().
# hint: If self._client is None or self._loop is not loop, set self._loop = loop and self._client = httpx.AsyncClient(headers=self._headers, limits=httpx.Limits(max_connections=self._limit)). Return self._client in both cases.
# no_class: Give check() the class itself, by its name, without parentheses after it.
# in_init: __init__ creates a client. Leave it at None there, and create it in _get_client.
# no_key: The lab refused these requests: each needs self._headers, which hold the key.
# no_return: _get_client must return a client every time. Is there a path through it without a return?
# blocking: httpx.Client blocks; the client that you can await is httpx.AsyncClient.
# plain: select awaits the result of _get_client: it must stay `async def`.
# no_limits: limits= takes an object, not a number: httpx.Limits(max_connections=self._limit).
# not_used: select must get its client from _get_client.
# await_between: Other tasks ran between the check of self._client and its assignment. Is there an await between the two? Without an await, no other task can run there.
# loop_not_set: Each call of _get_client creates a client, although one is stored: self._loop was never set, so every call seems to come from a new loop. Set it together with self._client.
# each_time: Each call of _get_client creates a client: keep the first in self._client.
# loop_not_stored: On a second loop each call of _get_client creates a client. Store the new loop in self._loop together with the new client.
# fewer: Fewer requests were in flight than the limit allows: max_connections should be self._limit.
# unlimited: Pass httpx.Limits(max_connections=self._limit): without it, a client takes up to 100.
# not_stored: Every request opens a new connection, because the client, which holds the connections, is not stored.
# closes_the_old: _get_client tried to use or close the old client, whose loop has ended: it can no longer be closed. Replace it with a new client.
# other_loop: The stored client belongs to the loop that created it, and its connections ended with it. Remember the loop together with the client, and create a new client if asyncio.get_running_loop() is another loop.
class LazyClient:
    def __init__(self, url: str, key: str, limit: int = 10) -> None:
        self._base = f"{url}/rest/v1"
        self._headers = {"apikey": key, "Authorization": f"Bearer {key}"}
        self._limit = limit
        self._client: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def _get_client(self) -> httpx.AsyncClient:
        # <solution>
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            limits = httpx.Limits(max_connections=self._limit)
            self._client = httpx.AsyncClient(headers=self._headers, limits=limits)
            self._loop = loop
        return self._client
        # </solution>
        #: raise NotDone("check, create and store the client, with no await in between")

    async def select(self, table: str) -> list[dict]:
        client = await self._get_client()
        response = await client.get(f"{self._base}/{table}", params={"limit": 10})
        response.raise_for_status()
        return response.json()


# %%
await check("03a", LazyClient)

# %% [markdown]
# ## In practice
#
# - **Create the client where its loop runs.** In a web service, use the start-up hook (FastAPI's `lifespan`): the client is created on the loop, closed
#   on the loop, and shared by all requests. Libraries have no such hook, so they create it lazily.
# - **Two loops at the same time** would replace each other's client again and again. In this case `SupabaseAsync` raises an
#   error for the second loop.
# - **If awaiting on every call is too expensive**, protect the check and the `await` with an `asyncio.Lock`. A lock also belongs to one loop.

# %% [markdown]
# ## Recap
#
# <details><summary><code>_get_client</code> is <code>async</code> and awaits nothing. Can two callers get two clients?</summary>
#
# Not on one loop: the task never yields inside, as you saw in 02. Two threads with a loop each could get two.
# </details>
#
# <details><summary>In a test run, every second test fails with "Event loop is closed". Where do you look?</summary>
#
# Look for a client that is created once, at the top of a module or in a long-lived fixture, and used by tests that have a loop each.
# </details>
#
# <details><summary>A colleague writes <code>async with httpx.AsyncClient() as c:</code> in every method. What does it cost?</summary>
#
# It is safe. But it reads the certificates and opens a new connection for every call, and no limit holds across the calls.
# </details>
#
# **Next:** in [04 · Step 2: the methods](04_step_2_the_methods.ipynb), one `_request` sends every read and every write.
