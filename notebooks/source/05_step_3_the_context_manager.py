# The source of 05_step_3_the_context_manager.ipynb; rebuild with: python -m supalab.course.build

# %% [markdown]
# # 05 · Step 3: the context manager
#
# **10 minutes.** A client that opens something has to close it, whatever happens in between: success, an error, a caller who leaves.
#
# - **You will** count leaked sockets; write `close`, `__aenter__` and `__aexit__`; cancel callers and ask the witness who kept working.
# - **You need** notebook [04](04_step_2_the_methods.ipynb), or the idea of a client with one `_request`.

# %%
import asyncio
import time

from supalab import ArticleSupabaseAsync, FakeSupabaseAsync, SupabaseAsync
from supalab.course import NotDone, check, predict, start_lab
from supalab.course.small import SmallClient
from supalab.course.sockets import after_each, open_sockets, sockets_left
from supalab.course.walkouts import Walkout, after_the_walkout

lab = start_lab(latency=0.01)

# %% [markdown]
# ## What nobody closes
#
# `requests.get` opens a connection, uses it and closes it. It was wasteful, but it was tidy. An `httpx.AsyncClient` keeps its connections for
# the next request, and it does not know which request is the last one. Somebody has to say so.
#
# `SmallClient` cannot say it: it has no `close`. `open_sockets` asks the operating system how many sockets of this process lead to the lab.

# %%
before = open_sockets(lab)
small = SmallClient(lab.url, lab.key)
await small.select("contests", limit="1")
print(f"{open_sockets(lab) - before} socket more, and the request is long over")

# %% [markdown]
# ## How many stay open?
#
# A service makes a client for each job and keeps it in a list. After 20 jobs, how many sockets are open? Put a number in place of `None`, or
# leave it. And what if it forgets each client, or uses it in an `async with`?

# %%
guess = predict("20 clients kept in a list", None, unit="sockets")
guess

# %%
kept = []


async def keep():
    kept.append(SmallClient(lab.url, lab.key))
    await kept[-1].select("contests", limit="1")


async def forget():
    await SmallClient(lab.url, lab.key).select("contests", limit="1")


async def close():
    async with ArticleSupabaseAsync(lab.url, lab.key) as db:
        await db.select("contests", limit=1)


# %% [markdown]
# (The next cell takes about 5 seconds.)

# %%
lab.set(latency=0.01)
ways = {"kept in a list": await after_each(keep, lab), "forgotten": await after_each(forget, lab)}
ways["async with"] = await after_each(close, lab)
print(guess.beside(ways["kept in a list"][-1]))
sockets_left(ways)

# %% [markdown]
# What is kept stays open, on your side and on the server's, until one of them runs out of sockets. What is forgotten is closed by Python's
# garbage collector (reference counting does not reach it), at a moment that nobody chose: the saw-tooth looks different each time. `async with`
# stays at zero: the *end of a block* is a moment that you chose.

# %%
for one in kept:
    await one._client.aclose()  # what the list has left open
await small._client.aclose()

# %% [markdown]
# ## Three methods
#
# The article's third step: `close` closes the httpx client, whose own method is `aclose()`. `__aenter__` runs where an `async with` block
# begins; it returns the object that `as db` names. `__aexit__` runs where the block ends, *however* it ends. If the block raised an error,
# `__aexit__` receives it; to return a true value would be to swallow it.
#
# ## Exercise 05a · Write `close`, `__aenter__` and `__aexit__`
#
# The check counts your client's sockets. The httpx client, `self._client`, is `None` until the first request.
#
# | what happens | sockets left | the caller sees |
# |---|---|---|
# | a block with a request | 0 | its rows |
# | an error in the block | 0 | that error |
# | a client that was never used, closed twice | 0 | nothing special |
# | a request after the block | 0 | an error |


# %% exercise 05a
class Closing(SmallClient):
    async def close(self):
        # <solution>
        if self._client is not None:
            await self._client.aclose()
        # </solution>
        #: raise NotDone("what if there is no httpx client yet?")

    async def __aenter__(self):
        # <solution>
        return self
        # </solution>
        #: raise NotDone("which object does `as db` name?")

    async def __aexit__(self, kind, error, trace):
        # <solution>
        await self.close()
        # </solution>
        #: raise NotDone("close, and let the error pass")


# %%
await check("05a", Closing)

# %% [markdown]
# ## After the end
#
# A closed client that is used again is a bug in the program. It should say so, not quietly open a connection. Three clients:

# %%
for kind in (FakeSupabaseAsync, ArticleSupabaseAsync, SupabaseAsync):
    async with kind(lab.url, lab.key) as db:
        await db.select("contests", limit=1)
    try:
        await db.select("contests", limit=1)
    except RuntimeError as error:
        print(f"{kind.__name__}: {type(error).__name__}: {error}")

# %% [markdown]
# One gap remains in the article's client, and perhaps in yours: closed *before* its first request, it opens after all, as in 03. `SupabaseAsync` keeps a
# note that it is closed.
#
# ## Callers who leave
#
# A request can end early because its caller goes: a timeout strikes, another task of its group fails, the service stops. In asyncio that is [**cancellation**](glossary.md#cancellation): the `await`
# raises `CancelledError`, and the caller is free at once. What of the work?
#
# Let the lab take half a second, and give each client 3 [slots](glossary.md#slot). We fill them, cancel everybody after 0.1 s, and at once a new caller
# asks. At the fake client, how many seconds pass from its question to its rows?

# %%
until_rows = predict("a new caller's rows at the fake client", None)
until_rows


# %%
async def walk_out(db):
    await db.select("contests", limit=1)  # a warm-up: the first request is slow
    lab.reset()
    callers = [asyncio.create_task(db.select("contests", limit=1)) for _ in range(3)]
    await asyncio.sleep(0.1)
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    began = time.perf_counter()
    await db.select("contests", limit=1)
    return Walkout(0.1, time.perf_counter() - began, lab.witness())


# %% [markdown]
# (About 3 seconds.)

# %%
lab.set(latency=0.5)
async with FakeSupabaseAsync(lab.url, lab.key, limit=3) as db:
    fake_3 = await walk_out(db)
async with SupabaseAsync(lab.url, lab.key, limit=3) as db:
    real_3 = await walk_out(db)
print(until_rows.beside(fake_3.waited))
after_the_walkout({"fake-3": fake_3, "real-3": real_3})

# %% [markdown]
# **fake-3:** the callers left, the threads did not. Nothing stops a thread that waits for a socket: each finished its request, for nobody,
# and its slot stayed taken. The new caller first waited for one of those slots, and then half a second for its own rows.
#
# **real-3:** each cancelled request closed its connection and gave its slot back. The new caller's request left at once.

# %%
for name, one in (("fake-3", fake_3), ("real-3", real_3)):
    print(f"{name}: {one.witness}")

# %% [markdown]
# The witness adds a caution. Under `real-3` it saw **4** in flight, though the client has 3 slots: the server went on with the three
# whose callers had hung up. Cancelling frees the *client*. Whether the server stops is the server's affair; this one looks only when it is
# done, as many do. (It counts three new connections: one was open since the warm-up.)

# %% [markdown]
# ## Exercise 05b · Walk out
#
# Write `leave(url, key)`: choose a client, start 3 reads, cancel them after 0.1 s, and return how many seconds a new caller needs from its
# question to its rows. No warm-up this time: the check counts at a lab of its own, which takes 0.4 s.
#
# | looked at | expected |
# |---|---|
# | requests | 3, and 1 more |
# | callers that hung up | 3 |
# | the new caller's request | reaches the lab before the others are done |
# | sockets left | 0 |


# %% exercise 05b
async def leave(url, key):
    # <solution>
    async with SupabaseAsync(url, key, limit=3) as db:
        callers = [asyncio.create_task(db.select("contests", limit=1)) for _ in range(3)]
        await asyncio.sleep(0.1)
        for caller in callers:
            caller.cancel()
        await asyncio.wait(callers)
        began = time.perf_counter()
        await db.select("contests", limit=1)
        return time.perf_counter() - began
    # </solution>
    #: raise NotDone("walk_out has most of it; choose the client, and close it")


# %%
await check("05b", leave)

# %% [markdown]
# ## In practice
#
# - **One client for each process, not for each request.** Open it where the service starts and close it where it ends (FastAPI:
#   `lifespan`).
# - **Never swallow `CancelledError`.** `except Exception` lets it pass, `except BaseException` and a bare `except` do not.
# - **A cancelled write may have been applied.** The client hung up; the server may have been faster.
# - **A closed browser tab** cancels a handler only if the framework does so. FastAPI by itself does not.
# - **Run your tests with `python -X dev`:** Python then warns of each socket that the garbage collector had to close.

# %% [markdown]
# ## Recap
#
# <details><summary>Python has a garbage collector. Why close by hand?</summary>
#
# It runs after so many new objects, whether sockets are scarce or not. To close is to choose the moment.
# </details>
#
# <details><summary>10 threads, 10 callers, all time out after 1 s, and the server takes 30 s. When is there a slot again?</summary>
#
# After 30 s. The callers were free after 1 s, the threads are not. Every newcomer times out in the queue.
# </details>
#
# <details><summary>Does the server work less when a real client cancels?</summary>
#
# Not by that alone. It is told, since the connection closes; whether it stops is its own affair.
# </details>
#
# **Next:** [06 · Cautions](06_cautions.ipynb), where errors have new names and a timeout is not what it seems.
