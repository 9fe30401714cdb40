# The source of 12_bring_your_own_client.ipynb; rebuild with: python -m supalab.course.build

# %% [markdown]
# # 12 · Bring your own client
#
# **12 minutes.** You point the course's instruments at clients that you have not seen before, and at your own.
#
# - **You will** get a verdict on any async client in a few seconds; read its evidence; mend a client that only looks async; take a checklist home.
# - **You need** notebook [02](02_inside_the_loop.ipynb), or an idea of what blocks an event loop. A client of your own, if you have one at hand.

# %%
import asyncio
from functools import partial

import httpx
import requests

from supalab import FakeSupabaseAsync, SupabaseAsync
from supalab.clients.fake import NO_PROXIES
from supalab.course import NotDone, check, predict, start_lab
from supalab.course.looks_async import LooksAsync
from supalab.measure.probe import probe

lab = start_lab()

# %% [markdown]
# ## One question
#
# Names prove nothing: not `async def`, not a package called `aio-something`. A stopwatch proves little. What tells the kinds of client apart is
# one question: **while the server works, who waits?**
#
# | who waits | then it is |
# |---|---|
# | the event loop, for events on many sockets | [real async](glossary.md#real-async) |
# | a thread for each request | fake async (threads) |
# | the event loop's thread, stuck in one request while nothing else runs | blocking |
#
# The [**probe**](glossary.md#probe) asks it. It starts 20 and then 50 calls at the lab, looks at threads, sockets and the loop while they are in flight, and counts at
# the lab. It trusts nothing that the client says of itself. A verdict takes 2 to 5 seconds.

# %%
fake_3 = await probe(FakeSupabaseAsync, lab=lab, name="fake-3")
fake_3

# %% [markdown]
# Above the table is the verdict in plain words; the table is for whoever wants to argue with it. Each row says what was looked at, what
# was seen, and what that speaks for.
#
# ## What misleads
#
# "At most 3 at once" looks like the proof. It is not: it is a limit, and a real client may have one too. So two more clients: the fake
# one with 200 threads, and the real one with a limit of 10. What will the probe call each of them? (About 5 seconds.)

# %%
fake_200 = await probe(partial(FakeSupabaseAsync, limit=200), lab=lab, name="fake-200")
real_10 = await probe(partial(SupabaseAsync, limit=10), lab=lab, name="real-10")

# %%
from supalab.figures.evidence import evidence

evidence(fake_3, fake_200, real_10)

# %% [markdown]
# Read the right column alone, and `fake-200` is the best client of the three: all 50 in flight at once. Read the left one: a thread waits for
# every single request. That is why concurrency alone never decides the verdict.

# %% [markdown]
# ## A client that looks async
#
# A colleague has written it, every method is a coroutine, and the review went well.

# %%
import inspect

from IPython.display import Markdown

Markdown(f"```python\n{inspect.getsource(LooksAsync)}```")

# %% [markdown]
# ## Predict
#
# How many faults do you find in it? And the probe starts 50 calls at once: how many does the lab see in flight, at most?

# %%
guess = predict("50 calls at once", None, unit="in flight")
guess

# %%
looks_async = await probe(LooksAsync, lab=lab)
print(guess.beside(looks_async.numbers["peak"]))
looks_async

# %% [markdown]
# The headline names three faults: threads; *limited to 1*, which is the lock; *no connection reuse*, which is `requests.get`. None of them can be seen
# from outside: callers `await`, rows come back, and a test that makes one request at a time is content.
#
# ## Exercise 12a · Get the verdict *real async*
#
# Below are the same three faults, with fewer methods around them. Mend them one by one if you like, and check after each: the words change
# with the verdict. The check uses your client once and closes it; if nothing stays open, the probe is next. (2 to 5 seconds. `NO_PROXIES`, in
# httpx `trust_env=False`, keeps your machine's proxy out of it.)
#
# | looked at | expected |
# |---|---|
# | one `select` | 10 rows |
# | sockets left after `aclose` | 0 |
# | the probe's verdict | real async |
# | most at once, of 50 calls | 10 or more |
# | connections | used again |


# %% exercise 12a
class Mended:
    def __init__(self, url, key):
        self._url, self._headers = f"{url}/rest/v1", {"apikey": key}
        # <solution>
        self._client = httpx.AsyncClient(headers=self._headers, trust_env=False)
        # </solution>
        #: self._order = asyncio.Lock()

    async def select(self, table):
        # <solution>
        answer = await self._client.get(f"{self._url}/{table}?limit=10")
        # </solution>
        #: raise NotDone("remove this line when you begin")
        #: async with self._order:
        #:     address = f"{self._url}/{table}?limit=10"
        #:     options = {"headers": self._headers, "proxies": NO_PROXIES}
        #:     answer = await asyncio.to_thread(requests.get, address, **options)
        answer.raise_for_status()
        return answer.json()

    async def aclose(self):
        # <solution>
        await self._client.aclose()
        # </solution>
        #: """Close what you open."""


# %%
await check("12a", Mended)

# %% [markdown]
# ## Other people's clients
#
# Is the async version of the official Supabase client really async? If it is installed, you see it here. The limit of 10 is our setting. (3 seconds.)

# %%
from supalab.clients.arms import KINDS, missing

lacking = missing("supabase")
if lacking:
    print(f"Skipped: the official client {lacking}")
else:
    client = KINDS["supabase"].load()
    official = await probe(partial(client, limit=10), lab=lab, name="the official client")
    print(f"{official.name}: {official.headline}")

# %% [markdown]
# ## Yours
#
# Three ways to hand it over. Give the function itself, not a call of it:
#
# | you have | you write |
# |---|---|
# | a class, or a function that makes a client from a url and a key | `await probe(MyClient, lab=lab)` |
# | a client object | `await probe(db, method="fetch", args=("contests",), lab=lab)` |
# | an async function that makes one request | `await probe(lambda: db.select("contests"), lab=lab)` |
#
# Your client has to ask the lab: at `lab.url`, with `lab.key`, in PostgREST's dialect. The lab's latency is the probe's to choose. In a
# terminal it is `supalab probe my_module:MyClient`.

# %%
from IPython.display import display

yours = None  # for instance: lambda url, key: MyClient(url, key)
if yours is None:
    print("Put what makes your client in place of None, and run this cell again.")
else:
    display(await probe(yours, lab=lab))

# %% [markdown]
# ## A real project
#
# A real server keeps no witness for us, so there is no verdict. But the race runs there, control included: three arms, 30 reads each. Set
# `SUPABASE_URL`, `SUPABASE_KEY` and, for another table than `contests`, `SUPABASE_TABLE` before you start JupyterLab. The key is never printed.

# %%
import os

from supalab import Settings, Workload, race
from supalab.course import progress_line
from supalab.errors import SupalabError
from supalab.measure import table

if not os.environ.get("SUPABASE_URL"):
    print("SUPABASE_URL is not set, so nothing was sent anywhere.")
else:
    arms = ["fake-3", "fake-10", "real-10"]
    reads = Workload(30, latency=None, table=os.environ.get("SUPABASE_TABLE", "contests"))
    try:
        trials = race(arms, reads, settings=Settings.from_env(), progress=progress_line())
        table.show(trials)
    except SupalabError as error:
        print(f"{type(error).__name__}: {error}")

# %% [markdown]
# ## In practice
#
# - **Probe in a test.** `assert (await probe(MyClient, lab=lab)).kind == "real async"` in your suite keeps a later change from bringing the thread back; in a test, `with Lab() as lab:` starts the lab.
# - **"Cannot tell" is an honest answer.** It comes with its reason, such as a client that asks another server.
# - **Fake async is not a crime.** Three requests at a time from a script need no migration. Say what it is, and choose.

# %% [markdown]
# ## What you take home
#
# 1. Count at the server. A client's word on its own concurrency is a rumour.
# 2. Throughput × time = in flight. Check every table you are shown, your own first.
# 3. Change one thing at a time; a limit of 3 against a limit of 10 compares limits.
# 4. Keep connections. A new one over TLS makes two round trips before the request has begun.
# 5. One limit, in front of the pool, chosen by measurement; one deadline over everything.
# 6. Close what you open, and cancel to find out who goes on working for nobody.
# 7. Ask who waits.

# %% [markdown]
# ## Recap
#
# <details><summary>A client never has more than 3 requests in flight. Is it fake async?</summary>
#
# You cannot know yet. A pool of three threads does that, and so does an `asyncio.Semaphore(3)` around a real client. Ask who waits.
# </details>
#
# <details><summary>You wrap a blocking library in <code>asyncio.to_thread</code>. What becomes of the verdict?</summary>
#
# *Blocking* becomes *fake async*: the loop is free again, which may be all you need. The limit is the default pool's, and a cancelled
# caller leaves its thread behind, working.
# </details>
#
# <details><summary>Your client gets "real async, no connection reuse". Does it matter?</summary>
#
# Hardly, on the same machine. Over TLS each request pays three round trips where one would do: notebook [11](11_the_claims_on_trial.ipynb) measured it.
# </details>
#
# **Next:** you have reached the end of the path. Read `supalab/clients/real.py`, the client you would ship; run `supalab claims` on your own
# machine; and go back to [00](00_start_here.ipynb), which reads differently now.
