# The source of 03_step_1_the_client.ipynb; rebuild with: python -m supalab.course.build

# %% [markdown]
# # 03 · Step 1: the client
#
# **10 minutes.** The migration begins. You replace the thread pool by one `httpx` client, and learn at which moment to make it.
#
# - **You will** read step 1 as a diff; break a lazy client in three ways, and count what breaks; write one that holds.
# - **You need** notebook [02](02_inside_the_loop.ipynb): what an `await` gives up.

# %%
import asyncio
import time

import httpx

from supalab import ArticleSupabaseAsync, FakeSupabaseAsync, SupabaseAsync
from supalab.course import NotDone, check, observe, predict, start_lab
from supalab.course.difference import difference
from supalab.course.loops import attempt
from supalab.course.sockets import open_sockets

lab = start_lab(latency=0.15)

# %% [markdown]
# ## What step 1 changes
#
# On the left the client that you leave, on the right the article's, as their files have them.

# %%
difference(FakeSupabaseAsync, ArticleSupabaseAsync, "__init__", "_get_client")

# %% [markdown]
# The executor is gone. In its place there is `None`, and a method that makes an `httpx.AsyncClient` at the first call: the client is [**lazy**](glossary.md#lazy-client).
# (And the limit goes from 3 to 10: a second change, and 00 has shown which of the two moves the end.) Why not in `__init__`? Because people write this
# at the top of a module:
#
# ```python
# db = ArticleSupabaseAsync(url, key)     # runs at import
# ```
#
# What would the import cost?


# %%
def timed(what, make):
    began = time.perf_counter()
    make()
    print(f"{what:<36}{1000 * (time.perf_counter() - began):8.2f} ms")


tls = httpx.create_ssl_context()
timed("httpx.AsyncClient()", httpx.AsyncClient)
timed("the same, certificates read before", lambda: httpx.AsyncClient(verify=tls))
timed("ArticleSupabaseAsync(...), lazy", lambda: ArticleSupabaseAsync(lab.url, lab.key))

# %% [markdown]
# Nearly all of it is reading certificates, and every test run, every `--help` would pay for it. So: at the first use. (`httpx` itself does not mind an
# import: it wants a loop only when it opens a connection.)
#
# Does it hold its [limit](glossary.md#limit)? Twenty callers at once, all of them first ones.

# %%
async with ArticleSupabaseAsync(lab.url, lab.key, limit=10) as db:
    await observe(db, lab, "article-10", requests=20)
print(lab.witness())

# %% [markdown]
# Ten in flight, as told. More than ten connections? That is the second number in `Limits`: how many may be kept. [06](06_cautions.ipynb) measures what
# it costs.

# %% [markdown]
# ## Breaking it, one: an `await` in the wrong place
#
# Look at the method again. Between `if self._client is None` and `self._client = …` there is no `await`, so nobody else gets a turn between
# the two. That is all that protects it, and `async def` invites you to lose it. Suppose the key comes from a secret store:


# %%
made = []


def new_client(db):
    limits = httpx.Limits(max_connections=db._settings.limit)
    made.append(httpx.AsyncClient(headers=db._headers, limits=limits, verify=tls, trust_env=False))
    return made[-1]


class LookThenWait(ArticleSupabaseAsync):
    async def _get_client(self):
        if self._client is None:
            await asyncio.sleep(0.01)  # fetches the key
            self._client = new_client(self)
        return self._client


# %% [markdown]
# The limit is still 10. Twenty callers ask at once, all first ones. How many requests will the lab see in flight at most?

# %%
guess = predict("the most in flight with limit 10", None, unit="requests")

before, earlier = open_sockets(lab), len(made)
async with LookThenWait(lab.url, lab.key, limit=10) as db:
    racy = await observe(db, lab, "racy-10", requests=20)
print(guess.beside(racy.witness.peak))
print(f"{len(made) - earlier} clients made; sockets still open after the end: {open_sockets(lab) - before}")

# %% [markdown]
# All twenty looked, all twenty saw `None`, each made a client of its own with ten slots of its own. The last one to be made was kept, and closed. The
# others keep their sockets open, and nobody is left to close them. The cure, and our control: one line moves up, and nothing else changes.


# %%
class WaitThenLook(ArticleSupabaseAsync):
    async def _get_client(self):
        await asyncio.sleep(0.01)  # fetches the key
        if self._client is None:
            self._client = new_client(self)
        return self._client


async with WaitThenLook(lab.url, lab.key, limit=10) as db:
    careful = await observe(db, lab, "careful-10", requests=20)

# %%
from supalab.figures import timeline
from supalab.measure.trial import TrialSet

timeline(TrialSet((careful, racy)))

# %% [markdown]
# `racy-10` was done sooner, and that is no merit: it broke the limit that protects your server. In a test with one caller you never see any of this.
# We kept a list, so we can clean up:

# %%
for client in made:
    await client.aclose()

# %% [markdown]
# ## Breaking it, two: close first
#
# A service fails early, and its clean-up closes a client that was never used. Then a late task uses it. First the article's client, then the one that
# this course leads to:

# %%
for kind in (ArticleSupabaseAsync, SupabaseAsync):
    before, db = open_sockets(lab), kind(lab.url, lab.key)
    await db.close()
    try:
        said = f"{len(await db.select('contests', limit=3))} rows"
    except RuntimeError as error:
        said = f"{type(error).__name__}: {error}"
    print(f"{kind.__name__}, sockets open: {open_sockets(lab) - before}. {said}")
    await db.close()

# %% [markdown]
# `close()` saw `None` and did nothing. "Not made yet" and "closed" look the same, so the next call opened a connection that nobody expects to close. A
# client has to remember that it was closed; step 3 is about that.

# %% [markdown]
# ## Breaking it, three: two loops
#
# Each `asyncio.run` makes a loop and closes it. You meet it in scripts that call it twice, in job queues, in tests that each get a loop. We do it three
# times with one client, in a thread, since the notebook's own has a loop; `attempt` says what came of it. What will the second loop say? And the third?

# %%
for kind in (ArticleSupabaseAsync, SupabaseAsync):
    db = kind(lab.url, lab.key)
    for turn in ("first", "second", "third"):
        said = await asyncio.to_thread(attempt, asyncio.run, db.select("contests", columns="id", limit=1))
        print(f"{kind.__name__}, {turn} loop: {said}")

# %% [markdown]
# The article's client took a kept connection out of its pool, one that belonged to an ended loop. The pool then threw it away, so the next
# attempt dials anew, and works. An error that goes away when you look again is called a flaky test, and lives for years.

# %% [markdown]
# ## Exercise 03a · A client made at the right moment
#
# Write `_get_client` for this small class. The first caller makes an `httpx.AsyncClient`, with `headers=` and with `limits=` as in the cells above, and
# all callers share it. When `asyncio.get_running_loop()` is another than `self._loop`, make a new one, and let go of the old:
# its loop has ended, so nobody can close it but the garbage collector.
#
# | looked at | what it should be |
# |---|---|
# | `httpx` clients before the first use | 0 |
# | clients for 10 first callers at once | 1 |
# | most in flight with `limit=4` | 4 |
# | new connections for later requests | 0 |
# | the same object on a second loop | an answer |


# %% exercise 03a
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
        #: raise NotDone("look, make, remember: and no await on the way")

    async def select(self, table: str) -> list[dict]:
        client = await self._get_client()
        answer = await client.get(f"{self._base}/{table}", params={"limit": 10})
        answer.raise_for_status()
        return answer.json()


# %%
await check("03a", LazyClient)

# %% [markdown]
# ## In practice
#
# - **Make it where its loop is.** In a web service, the start-up hook (FastAPI's `lifespan`) is the best place: made on the loop, closed on it, one for all
#   requests. Lazy is for libraries, which have no such hook.
# - **Two loops at the same time** would throw away each other's client, again and again. Only then `SupabaseAsync` refuses the second; see
#   `_on_this_loop` in `supalab/clients/real.py`.
# - **If the wait is too dear for every call**, put a lock around look and wait. A lock belongs to a loop, too.

# %% [markdown]
# ## Recap
#
# <details><summary><code>_get_client</code> is <code>async</code>, and awaits nothing. Can two callers get two clients?</summary>
#
# Not on one loop: without a wait there is no turn to give up, as you saw in 02. Two threads with a loop each could.
# </details>
#
# <details><summary>In one run, every other test fails with "Event loop is closed". Where do you look?</summary>
#
# For a client made once, at the top of a module or in a fixture that outlives its loop, and used by tests that have a loop each.
# </details>
#
# <details><summary>A colleague writes <code>async with httpx.AsyncClient() as c:</code> in every method. What does it cost?</summary>
#
# It is safe, and dials a new connection each time, after reading the certificates again. And no limit holds across the calls.
# </details>
#
# **Next:** [04 · Step 2: the methods](04_step_2_the_methods.ipynb), where one `_request` learns to read and to write.
