# The source of 12_bring_your_own_client.ipynb; rebuild with: python -m supalab.course.build

# %% [markdown]
# # 12 · Bring your own client
#
# **20 minutes.** You point the course's tools at clients that you have not seen before, and at your own.
#
# - **You will** get a verdict on any async client in a few seconds; read its evidence; fix a client that only looks async; take a checklist home.
# - **You need** notebook [02](02_inside_the_loop.ipynb), or an idea of what blocks an event loop. Bring a client of your own, if you have one.

# %%
import asyncio
from functools import partial

import httpx
import requests

from supalab import FakeSupabaseAsync, SupabaseAsync, probe, recorded
from supalab.course import NotDone, charts, check, predict, show_source, start_lab

lab = start_lab()

# %% [markdown]
# ## One question
#
# A name proves nothing, neither `async def` nor a package called `aio-something`. The total time proves little. One question separates the kinds of client:
# **while the server works, who waits?**
#
# | who waits | the client is |
# |---|---|
# | the event loop, for many sockets at once | [real async](glossary.md#real-async) |
# | a thread for each request | fake async (threads) |
# | the event loop's own thread, inside one request, while nothing else runs | blocking |
#
# The [**probe**](glossary.md#probe) finds the answer. It starts 20 and then 50 calls at the lab, looks at threads, sockets and the loop while the calls are
# in flight, and reads the lab's counters. It does not trust what the client says about itself. A verdict takes 2 to 5 seconds.

# %%
fake_3 = await probe(FakeSupabaseAsync, lab=lab, name="fake-3")
fake_3

# %% [markdown]
# The first line is the verdict. The bars show who waited. Each row of the lower table says what was looked at, what was seen, and how to read it.
#
# ## What misleads
#
# "At most 3 at once" looks like proof, but it only shows a limit. A real client may have a limit too. So here are two more clients: the fake client with 200
# threads, and the real client with a limit of 10. What will the probe call each of them? (About 5 seconds.)

# %%
fake_200 = await probe(partial(FakeSupabaseAsync, limit=200), lab=lab, name="fake-200")
real_10 = await probe(partial(SupabaseAsync, limit=10), lab=lab, name="real-10")

# %%
charts.evidence(fake_3, fake_200, real_10)

# %% [markdown]
# If you read only the right column, `fake-200` is the best client of the three: it had the most requests in flight at once. But the left column shows that a
# thread waits for every single request. This is why concurrency alone never decides the verdict.

# %% [markdown]
# ## A client that looks async
#
# A colleague wrote this client. Every method is a coroutine, and the review found no problem.


# %%
class LooksAsync:
    def __init__(self, url, key):
        self._url, self._headers = f"{url}/rest/v1", {"apikey": key}
        self._order = asyncio.Lock()

    async def select(self, table):
        async with self._order:
            return await self._fetch(f"{self._url}/{table}?limit=10")

    async def _fetch(self, address):
        response = await asyncio.to_thread(self._get, address)
        response.raise_for_status()
        return response.json()

    def _get(self, address):
        return requests.get(address, headers=self._headers, timeout=30)


# %% [markdown]
# ## Predict
#
# How many faults do you find? The probe starts 50 calls at once. How many requests does the lab see in flight at most?

# %%
guess = predict("50 calls at once", None, unit="in flight")
guess

# %%
looks_async = await probe(LooksAsync, lab=lab)
print(guess.compare(looks_async.numbers["peak"]))
looks_async

# %% [markdown]
# The headline names three faults: *threads*; *limited to 1*, because of the lock; and *no connection reuse*, because of `requests.get`. The caller sees none
# of them: calls can be awaited, rows come back, and a test that makes one request at a time passes.
#
# ## Exercise 12a · Get the verdict *real async*
#
# The class below has the same three faults and fewer methods. Fix them so that every row holds. You can fix one fault at a time and check after each fix;
# what the check says changes with the verdict. The check uses your client once and closes it. If no socket stays open, it runs the probe. (2 to 5 seconds.)
#
# | what the check looks at | expected |
# |---|---|
# | one `select` | 10 rows |
# | sockets left open after `aclose` | 0 |
# | the probe's verdict | real async |
# | most requests in flight, of 50 calls | 10 or more |
# | connections | reused |


# %% exercise 12a
# hint: Remove three things: the thread with requests, the lock around everything, and the connection for each call. One httpx.AsyncClient, created in __init__, replaces all three.
# hint: In __init__: self._client = httpx.AsyncClient(headers={'apikey': key}, trust_env=False). In select: response = await self._client.get(address), and no lock. In aclose: await self._client.aclose().
# ten: select must return ten rows: LooksAsync asks for them with ?limit=10 after the table's name.
# unawaited: select must return rows, but it returns something that was never awaited: an await is missing in it.
# rows: select must return ten rows, as LooksAsync does: return response.json().
# still_open: aclose must close what was opened: await self._client.aclose(). Then the check runs the probe.
# no_verdict: {why}
# blocking: While one of its requests is in flight, the whole loop is blocked. Look for code that waits without an await: requests, time.sleep, a plain httpx.Client.
# fake: A thread still waits for each request. Look for to_thread, run_in_executor or requests: httpx.AsyncClient has the same get, and you can await it.
# mixed: Part of the client is real async, and part is not: it sends requests in two ways. Which one is the old way?
# pool: {peak} at once is the size of its thread pool. If no size is given, it depends on the number of processors.
# costly: It {why}, and no other call can run during this time. Is a client created in select? Each new client reads the certificates again.
# in_turn: Its callers wait for one another. Does a call hold a lock or a semaphore while it waits for the server?
# not_reused: It opens a connection for each request: requests.get does this, and so does a client that is created in select. Create one httpx.AsyncClient in __init__, and keep it.
class Fixed:
    def __init__(self, url, key):
        self._url, self._headers = f"{url}/rest/v1", {"apikey": key}
        # <solution>
        self._client = httpx.AsyncClient(headers=self._headers)
        # </solution>
        #: self._order = asyncio.Lock()

    async def select(self, table):
        # <solution>
        response = await self._client.get(f"{self._url}/{table}?limit=10")
        # </solution>
        #: raise NotDone("remove this line when you begin")
        #: async with self._order:
        #:     address = f"{self._url}/{table}?limit=10"
        #:     response = await asyncio.to_thread(requests.get, address, headers=self._headers)
        response.raise_for_status()
        return response.json()

    async def aclose(self):
        # <solution>
        await self._client.aclose()
        # </solution>
        #: """Close what you open."""


# %%
await check("12a", Fixed)

# %% [markdown]
# ## The official Supabase client
#
# If you use `supabase`, you may call the synchronous client, `create_client`, in a thread. The next step is its async client, `acreate_client`. The cell
# below asks the probe about both, if the package is installed in this kernel. Pass the call that sends the request: the builder's `execute`.

# %%
try:
    import supabase
except ImportError:
    print('Not installed. Run  %pip install "supabase>=2.20,<3"  in a cell, and then this cell again.')
else:
    old, new = supabase.create_client(lab.url, lab.key), await supabase.acreate_client(lab.url, lab.key)
    sync, query = (client.table("contests").select("*").limit(10) for client in (old, new))
    in_a_thread = await probe(lambda: asyncio.to_thread(sync.execute), lab=lab, name="create_client, in a thread")
    official = await probe(query.execute, lab=lab, name="acreate_client")
    for verdict in (in_a_thread, official):
        print(f"{verdict.name}: {verdict.headline}")

# %% [markdown]
# | | official async client | `SupabaseAsync` of this course |
# |---|---|---|
# | auth, storage, realtime | yes | no: tables and functions only |
# | a signed-in user's rows (RLS) | yes | yes: `token=` |
# | a concurrency limit in front of the pool | no | yes |
# | one deadline for the whole request | no: httpx's timeouts | yes |
# | retries, and a warning that a write may have been applied | no | yes |
#
# The next cell shows what each client costs, as recorded by `supalab bench`. In both panels lower is better. At a limit of 10, every client needs about the
# ideal time. At 100 they differ.

# %%
recorded("bench").figure()

# %% [markdown]
# ## Yours
#
# There are three ways to pass your client. Pass the function itself, not a call of it:
#
# | you have | you write |
# |---|---|
# | a class, or a function that makes a client from a url and a key | `await probe(MyClient, lab=lab)` |
# | a client object | `await probe(db, method="fetch", args=("contests",), lab=lab)` |
# | an async function that makes one request | `await probe(lambda: db.select("contests"), lab=lab)` |
#
# Your client must send its requests to the lab: to `lab.url`, with `lab.key`, in PostgREST's query syntax. The probe sets the lab's server time itself. In a
# terminal, use `supalab probe my_module:MyClient`.

# %%
from IPython.display import display

yours = None  # for instance: lambda url, key: MyClient(url, key)
if yours is None:
    print("Replace None with a function that makes your client, and run this cell again.")
else:
    display(await probe(yours, lab=lab))

# %% [markdown]
# ## A real project
#
# A real server does not show us its counters, so the probe cannot give a verdict. But the race runs there, with its control: three arms with 30 reads each.
# Use a terminal. The key comes from the environment, and it is never printed; `--table` names your table.
#
# ```
# SUPABASE_KEY=... supalab race --url https://YOUR-PROJECT.supabase.co --table contests --arms fake-3,fake-10,real-10 --requests 30
# ```

# %% [markdown]
# ## In practice
#
# - **Use the probe in a test.** The test fails if a later change brings the thread back:
#
#   ```python
#   async def test_our_client_is_really_async():
#       with Lab() as lab:
#           assert (await probe(MyClient, lab=lab)).kind == "real async"
#   ```
#
# - **"Cannot tell" is an honest verdict.** It comes with its reason, for example that the client sends its requests to another server.
# - **Fake async can be good enough.** A script that sends three requests at a time needs no migration.

# %% [markdown]
# ## What you take home
#
# 1. Count at the server. Do not trust what a client says about its own concurrency.
# 2. Check every table with throughput × time = in flight, and start with your own.
# 3. Change one thing at a time. If you compare a limit of 3 with a limit of 10, you compare limits.
# 4. Reuse connections. A new connection over TLS 1.3 needs two round trips before the request begins.
# 5. Put one limit in front of the pool and choose it by measurement. Put one deadline around everything.
# 6. Close what you open. Cancel some requests and check what keeps running.
# 7. Ask who waits while the server works.
#
# The [handout](HANDOUT.md) has this on one page, with two drawings and the migrated client.

# %% [markdown]
# ## Recap
#
# <details><summary>A client never has more than 3 requests in flight. Is it fake async?</summary>
#
# You cannot know yet. A pool of three threads limits it to 3, and so does an `asyncio.Semaphore(3)` around a real client. Ask who waits.
# </details>
#
# <details><summary>You wrap a blocking library in <code>asyncio.to_thread</code>. What happens to the verdict?</summary>
#
# *Blocking* becomes *fake async*: the loop is responsive again, which may be all you need. The limit is that of the default pool, and a cancelled caller
# leaves its thread working.
# </details>
#
# <details><summary>Your client gets "real async, no connection reuse". Does it matter?</summary>
#
# On the same machine, hardly. Over TLS each request needs three round trips instead of one: notebook [11](11_the_claims_on_trial.ipynb) measured it.
# </details>
#
# **Next:** you have reached the end of the course. Write `show_source(SupabaseAsync)` in a new cell to read the client that you would ship, and run
# `supalab claims` on your own machine. You can also go back to [00](00_start_here.ipynb).
