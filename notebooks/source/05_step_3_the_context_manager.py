# The source of 05_step_3_the_context_manager.ipynb; rebuild with: python -m supalab.course.build

# %% [markdown]
# # 05 · Step 3: the context manager
#
# **25 minutes.** A client that opens connections must close them, whether its callers succeed, fail or give up. At the end you have the whole migrated client.
#
# - **You will** count leaked sockets; write `close`, `__aenter__` and `__aexit__` (part 1); cancel callers and see which client keeps working (part 2).
# - **You need** notebook [04](04_step_2_the_methods.ipynb), or the idea of a client with one `_request`.

# %%
import asyncio
import time

import httpx
import psutil

from supalab import ArticleSupabaseAsync, FakeSupabaseAsync, SupabaseAsync, replies, wire
from supalab.course import NotDone, SmallClient, charts, check, predict, start_lab

lab = start_lab(latency=0.01)

# %% [markdown]
# ## Part 1: closing
#
# `requests.get` opens a connection, uses it and closes it. This wastes time, but it leaves nothing open. An `httpx.AsyncClient` keeps its connections for
# the next request, and it cannot know which request is the last one. Your code must tell it.
#
# `SmallClient` has no `close`. The function below asks the operating system how many sockets of this process are connected to the lab.


# %%
def open_sockets():
    port = int(lab.url.rpartition(":")[2])
    connections = psutil.Process().net_connections("tcp")
    return sum(one.status == psutil.CONN_ESTABLISHED and one.raddr[1] == port for one in connections)


before = open_sockets()
small = SmallClient(lab.url, lab.key)
await small.select("contests", limit="1")
print(f"{open_sockets() - before} more socket is open, although the request has ended")

# %% [markdown]
# ## How many sockets stay open?
#
# A service creates a client for each job and keeps it in a list. How many sockets are open after 20 jobs? Replace `None` with a number, or leave it.
# Compare this with a service that forgets each client, and with a service that uses `async with`. (About 5 seconds.)

# %%
guess = predict("20 clients in a list", None, unit="sockets")
kept = []


async def keep():
    kept.append(SmallClient(lab.url, lab.key))
    await kept[-1].select("contests", limit="1")


async def forget():
    await SmallClient(lab.url, lab.key).select("contests", limit="1")


async def close():
    async with ArticleSupabaseAsync(lab.url, lab.key) as db:
        await db.select("contests", limit=1)


# %%
async def after_each(job):
    before, counts = open_sockets(), []
    for _ in range(20):
        await job()
        counts.append(open_sockets() - before)
    return counts


lab.set(latency=0.01)
ways = {"kept in a list": await after_each(keep), "forgotten": await after_each(forget)}
ways["async with"] = await after_each(close)
print(guess.compare(ways["kept in a list"][-1]))
charts.sockets(ways)

# %% [markdown]
# Clients in a list keep their sockets open, on your side and on the server's, until one side runs out of sockets. Python's garbage collector closes the
# sockets of forgotten clients, at a time that you cannot choose. (Reference counting alone does not free them.) `async with` leaves no socket open.

# %%
for one in [*kept, small]:
    await one._client.aclose()  # closes what this notebook has left open

# %% [markdown]
# ## Three methods
#
# `close` closes the httpx client, whose own method is called `aclose()`. `__aenter__` runs at the start of an `async with` block; it returns the object
# that `as db` names. `__aexit__` runs at the end of the block, even after an error. If the block raised an error, `__aexit__` receives it. If
# `__aexit__` returns a true value, the error is swallowed.
#
# ## Exercise 05a · Write `close`, `__aenter__` and `__aexit__`
#
# Write the three methods so that every row below holds. `self._client` is the httpx client; it is `None` until the first request.
#
# | what happens | sockets left open | the caller sees |
# |---|---|---|
# | a block `async with … as db` with a request | 0 | `db` is the client itself; its rows |
# | an error in the block | 0 | this error |
# | a client that was never used, closed twice | 0 | no error |
# | a request after the block | 0 | an error |


# %% exercise 05a
# hint: close awaits self._client.aclose() if there is a client; __aenter__ returns an object; __aexit__ closes.
# hint: __aenter__: return self. __aexit__: await self.close(), and no return. close: only if self._client is not None, and keep it in self._client.
# aclose: The httpx client has no close(): its own method is aclose(), and you must await it.
# three_methods: async with awaits __aenter__ and __aexit__, and __aexit__ awaits close: all three must exist and be async def. __aexit__ takes three values in addition to self: the error's class, the error and its traceback.
# return_self: `as db` names what __aenter__ returns: return self.
# not_closed: The block has ended and its socket is still open: __aexit__ must await self.close(), and close must await self._client.aclose(), with an error in the block or without.
# swallowed: A true value from __aexit__ swallows the error of the block. Let __aexit__ return None.
# still_open: Close in any case, also after an error in the block.
# nothing_to_close: Nothing was opened yet, so there is nothing to close. Check whether self._client is None.
# opened_again: After closing, the next request created a new httpx client, which nobody will close. Keep the closed client in self._client: httpx refuses to use it.
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
        #: raise NotDone("close the client, and let the error pass")


# %%
await check("05a", Closing)

# %% [markdown]
# One gap remains in the article's client, and perhaps in yours: a client that is closed *before* its first request still opens a connection later, as in
# notebook 03. `SupabaseAsync` remembers that it is closed.
#
# ## Part 2: cancelling
#
# A caller may give up before its response arrives: a timeout expires, a sibling task fails, the service shuts down. In asyncio this is
# [**cancellation**](glossary.md#cancellation): the `await` raises `CancelledError`, and the caller can continue immediately. What happens to the request that
# was already sent?
#
# The lab now takes half a second, and each client has 3 [slots](glossary.md#slot). We fill the slots, cancel all callers after 0.1 s, and then a new
# caller sends a request. How many seconds does the new caller wait for its rows if the client is the fake one?

# %%
until_rows = predict("the new caller's wait at the fake client", None)
until_rows


# %%
async def cancel_three(db):
    await db.select("contests", limit=1)  # a warm-up: the first request is slow
    lab.reset()
    callers = [asyncio.create_task(db.select("contests", limit=1)) for _ in range(3)]
    await asyncio.sleep(0.1)
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    began = time.perf_counter()
    await db.select("contests", limit=1)
    return 0.1, time.perf_counter() - began, lab.witness()


# %% [markdown]
# Run it with both clients. (About 3 seconds.)

# %%
lab.set(latency=0.5)
async with FakeSupabaseAsync(lab.url, lab.key, limit=3) as db:
    fake_3 = await cancel_three(db)
async with SupabaseAsync(lab.url, lab.key, limit=3) as db:
    real_3 = await cancel_three(db)
print(until_rows.compare(fake_3[1]))
print(f"fake-3: {fake_3[2]}\nreal-3: {real_3[2]}")
charts.cancellation({"fake-3": fake_3, "real-3": real_3})

# %% [markdown]
# **fake-3:** the callers were free immediately, but the threads were not. Cancelling does not stop a thread; only its own socket timeout would. Each thread
# finished a request that nobody needed, and its slot stayed occupied. The new caller first waited for a slot, and then half a second for its rows.
#
# **real-3:** each cancelled request closed its connection and released its slot. The new request was sent immediately.
#
# The witness also saw **4** requests in flight for `real-3`, although the client has 3 slots: the server continued with the three cancelled requests.
# Cancelling frees the *client*. Many servers, like this one, notice a disconnect only when they have finished. (The witness counts three new connections,
# because one connection had been open since the warm-up.)

# %% [markdown]
# ## Exercise 05b · Cancel and continue
#
# Write `cancel_and_continue(url, key)`. It does this:
#
# 1. Open a client **with `limit=3`**. Choose a client whose slots are free after a cancellation.
# 2. Start 3 reads of the table `contests`, wait 0.1 s, and cancel them.
# 3. Read once more, and return how many seconds this last read took.
#
# Leave out the warm-up, because the check counts the requests. The check uses its own lab, with a server time of 0.4 s.
#
# | what the check looks at | expected |
# |---|---|
# | requests | 4: 3 that you cancel, and 1 more |
# | the limit of the client | 3 |
# | clients that disconnected | 3 |
# | the last request | reaches the lab before the others are done |
# | the seconds that you return | about 0.4 |
# | sockets left open | 0 |


# %% exercise 05b
# hint: asyncio.create_task starts a read without waiting; task.cancel() ends it. Which client frees its slots?
# hint: async with SupabaseAsync(url, key, limit=3): three tasks, await asyncio.sleep(0.1), cancel each, await asyncio.wait(tasks), then time one more select.
# awaits_cancelled: If you await a cancelled task, also with gather, you get its CancelledError. asyncio.wait waits for it and raises nothing.
# own_timeout: The timeout cancelled the reads, and its TimeoutError ended your function too. Catch it, and then read once more.
# no_task: A coroutine cannot be cancelled before it runs as a task. asyncio.create_task starts it and returns the task.
# elsewhere: No request reached the check's lab. Use the url and key that your function receives, not the notebook's own lab.
# never_ran: Only the last request came. A task that is cancelled before it ever ran sends nothing: await asyncio.sleep(0.1) in between. If you do, the machine was busy: check again.
# no_last: The last request never came. Is there an await before its select?
# warm_up: One request too many: cancel_three begins with a read of its own, to warm up. Leave that read out.
# start_and_cancel: Start 3 reads, wait 0.1 s, cancel them, and then read once more.
# limit: Open the client with limit=3: with more slots than reads, nobody waits for a slot.
# none_left: No client disconnected. Either the reads were not cancelled, or threads finished their requests: a thread cannot be cancelled. Which client can disconnect?
# some_left: Only some of the clients' requests were cancelled. Cancel all three reads. If you do, the machine was busy: check again.
# waited_for_a_slot: The last request had to wait for a slot until the first three requests were done.
# seconds: Return how many seconds the last read took: measure it with time.perf_counter().
# still_open: Your client is still open. Use it in `async with`, as in this notebook.
async def cancel_and_continue(url, key):
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
    #: raise NotDone("cancel_three has most of it; choose the client, and close it")


# %%
await check("05b", cancel_and_continue)

# %% [markdown]
# ## The whole migrated client
#
# These are the three steps in one class: one lazily created httpx client, one `_request`, and a context manager.


# %%
class Migrated:
    def __init__(self, url, key, limit=10):
        self._base, self._limit, self._client = f"{url}/rest/v1", limit, None
        self._headers = {"apikey": key, "Authorization": f"Bearer {key}"}

    def _get_client(self):  # step 1: created once, at the first request
        if self._client is None:
            limits = httpx.Limits(max_connections=self._limit, max_keepalive_connections=self._limit)
            self._client = httpx.AsyncClient(headers=self._headers, limits=limits, timeout=httpx.Timeout(10, pool=None))
        return self._client

    async def _request(self, call):  # step 2: every method goes through here
        response = await self._get_client().request(
            call.method, self._base + call.target, content=call.body, headers=call.headers
        )
        return replies.value(replies.Reply(response.status_code, response.headers, response.content))

    async def select(self, table, **arguments):
        return await self._request(wire.select(table, **arguments))

    async def __aenter__(self):  # step 3: it closes what it opens
        return self

    async def __aexit__(self, kind, error, trace):
        if self._client is not None:
            await self._client.aclose()


async with Migrated(lab.url, lab.key) as db:
    print(await db.select("contests", columns="id,title", limit=2))

# %% [markdown]
# ## In practice
#
# - **One client per process, not per request.** Open it where the service starts and close it where the service ends. In FastAPI this is the `lifespan`
#   function; notebook [10](10_in_production.ipynb) shows it.
# - **Never swallow `CancelledError`.** `except Exception` lets it pass. `except BaseException` and a bare `except` do not.
# - **Do not assume that a cancelled write failed.** The server may have applied it before it noticed the disconnect.
# - **Run your tests with `python -X dev`.** Python then warns about each socket that the garbage collector had to close.

# %% [markdown]
# ## Recap
#
# <details><summary>Python has a garbage collector. Why close a client yourself?</summary>
#
# The collector runs when enough new objects exist. It does not know how many sockets are left. <code>close()</code> lets you decide when the sockets are
# released.
# </details>
#
# <details><summary>10 threads, 10 callers with <code>asyncio.timeout(1)</code>, no timeout in requests, and the server takes 30 s. When is a slot free again?</summary>
#
# After 30 s. The callers can continue after 1 s, the threads cannot. Every new caller times out in the queue.
# </details>
#
# <details><summary>Does the server work less if a real client cancels?</summary>
#
# Not automatically. The server can see that the connection is closed. Some servers stop then; many do not.
# </details>
#
# **Next:** in [06 · Cautions](06_cautions.ipynb) errors have new names, and a timeout does not limit what you expect.
