# The source of 02_inside_the_loop.ipynb; rebuild with: python -m supalab.course.build

# %% [markdown]
# # 02 · Inside the loop
#
# **18 minutes.** You see when an `await` lets other code run, why people invented fake async, and why `asyncio.run` fails in a notebook.
#
# - **You will** write a ticker that measures a blocked event loop; compare three clients with it; fix a function that blocks.
# - **You need** notebook [01](01_see_the_ceiling.ipynb), or some experience with `async def`.

# %%
import asyncio
import time
from itertools import pairwise

import requests

from supalab import FakeSupabaseAsync, SupabaseAsync
from supalab.course import NotDone, charts, check, heartbeat, predict, start_lab

lab = start_lab(latency=0.1)

# %% [markdown]
# ## One thread, many tasks
#
# A service answers its health check two seconds late. The CPU is idle and the database is fast. Something is [blocking](glossary.md#blocking) the
# [event loop](glossary.md#event-loop).
#
# An event loop runs in one thread. It runs one task at a time, and no other task runs until this one gives control back (it *yields*). People say
# that this happens at every `await`. Guess: in which order will the next cell print its four lines? (`gather` makes a task of each worker.)


# %%
async def nothing():
    """Awaited, but it waits for nothing."""


async def worker(name, pause):
    print(name, "begins")
    await pause()
    print(name, "ends")


_ = await asyncio.gather(worker("A", nothing), worker("B", nothing))

# %% [markdown]
# A ran to its end before B began, although it had an `await` on the way. Now run the same two workers with a pause that really waits:


# %%
async def a_moment():
    await asyncio.sleep(0.01)


_ = await asyncio.gather(worker("A", a_moment), worker("B", a_moment))

# %% [markdown]
# So `await` means: "run this, and *if* something inside has to wait, other tasks may run meanwhile". The loop can wait for only a few things:
# a timer, a socket, or the result of a thread. If your coroutine awaits none of these, it runs like a plain function.

# %% [markdown]
# ## Measure it with a few lines
#
# A [**ticker**](glossary.md#ticker) is a task that notes the time every 10 ms. If the loop is blocked, the ticker is late, and every other task on the loop
# is just as late. This delay is the [**loop lag**](glossary.md#loop-lag).


# %%
async def tick(ticks):
    while True:
        ticks.append(time.perf_counter())
        await asyncio.sleep(0.01)


async def longest_lag(*calls):
    ticks = []
    ticker = asyncio.create_task(tick(ticks))
    await asyncio.sleep(0.05)  # the ticker starts before the calls
    await asyncio.gather(*calls)
    await asyncio.sleep(0.05)
    ticker.cancel()
    return max(later - earlier for earlier, later in pairwise(ticks)) - 0.01


print(f"Nothing else to do: {1000 * await longest_lag(asyncio.sleep(0.2)):.0f} ms late at most")

# %% [markdown]
# ## Blocking
#
# A client can say `async` in every method and still block the loop. The next cell changes one method of the fake client: it calls `requests` directly
# instead of in a thread.
#
# Twelve callers start at once, and the server takes 0.1 s for each request. How late will the ticker be at most? Replace `None` with a number of seconds,
# or leave it. (A few seconds.)


# %%
class BlockingSupabaseAsync(FakeSupabaseAsync):
    async def _request(self, call):
        return self._send(call)  # calls requests and waits, on the loop's own thread


guess = predict("the ticker's longest lag", None)

async with BlockingSupabaseAsync(lab.url, lab.key) as db:
    lag = await longest_lag(*(db.select("contests", limit=10) for _ in range(12)))
print(guess.compare(lag))

# %% [markdown]
# Many people expect 0.1 s: one request, one tick, the next request. But `gather` scheduled all twelve calls at the same time, and no call ever yields to the
# loop. So the lag is 12 × 0.1 s plus some work.

# %% [markdown]
# ## Fake and real
#
# Now compare the blocking client with the fake client, which runs the same `requests.get` in 3 threads, and with the real client at the same limit. `heartbeat`
# measures in the same way and records every tick, so that a chart can show them. Which client keeps the loop responsive? (About 5 seconds.)

# %%
found = []
for name, db in (
    ("blocking", BlockingSupabaseAsync(lab.url, lab.key)),
    ("fake-3", FakeSupabaseAsync(lab.url, lab.key, limit=3)),
    ("real-3", SupabaseAsync(lab.url, lab.key, limit=3)),
):
    async with db:
        found.append(await heartbeat(name, *(db.select("contests", limit=10) for _ in range(12))))
charts.lag(found, guess=guess.value)

# %% [markdown]
# **Fake async keeps the loop responsive.** This is what it was invented for: a thread waits for the socket, the loop waits for the thread, and other
# tasks can run. At the same limit it takes about as long as the real client. We call it "fake" because each request in flight still occupies a thread,
# not because it blocks. (If you see a short gap in one run but not in the next, your machine caused it.)

# %% [markdown]
# ## Exercise 02a · Stop blocking the loop
#
# This coroutine blocks the loop. Change `fetch` so that it returns the same rows and does not block.
#
# | what the check looks at | now | expected |
# |---|---|---|
# | the result of one call | a list of rows | a list of rows |
# | the lag of a ticker during 8 calls of 0.15 s | 1.2 s | at most 0.09 s |
# | requests in flight at the lab during 8 calls at once | 1 | 4 or more |


# %% exercise 02a
# hint: The call must not run on the loop's thread. asyncio.to_thread runs a function in another thread, and you await its result.
# hint: Pass the function, not its result: response = await asyncio.to_thread(requests.get, url, headers=headers). Then response.json() is fast and may run here.
# plain: It is a plain function now. Callers await it, so it must stay `async def`.
# unawaited: The result is something to await, not the rows. Put an await in front of it.
# await_first: Await it first, in parentheses: (await …).json().
# await_in_front: An await in front of a plain call does not move it to another thread: requests.get(…) has already waited on the loop's own thread when the await begins. Which function runs a call in another thread?
# called_first: The call ran first, on the loop's own thread, and you passed its result. Pass the function without parentheses, and its arguments after it.
# headers: The lab refused the request, because it saw no key. Pass the headers by name: headers=headers.
# body: The rows are in the response's body: .json() turns it into a list.
# other_rows: These are not the rows at the address that the check gives. Use the url and headers that your function receives.
# still_blocks: While a call waited for the server, no other task could run: requests.get still runs on the loop's own thread. Is the function called there, and only its result passed on?
# overlap_and_block: The requests overlap, but something else blocked the loop. Creating a whole client for each call does this, because it loads certificates each time.
# in_turn: The lab saw one request at a time: each call waits for the one before it to end.
# small_pool: Some calls wait for others. Is there a small pool, a lock or a semaphore?
async def fetch(url: str, headers: dict[str, str]) -> list[dict]:
    """Return the rows at this address."""
    # return requests.get(url, headers=headers).json()     <- this call blocks
    # <solution>
    response = await asyncio.to_thread(requests.get, url, headers=headers)
    return response.json()
    # </solution>
    #: raise NotDone("where else can requests.get wait, if not in the loop's thread?")


# %%
await check("02a", fetch)

# %% [markdown]
# ## In practice
#
# - **Real clients can block the loop too.** Parsing a huge response takes time on the loop's thread. So does making an `httpx.AsyncClient`,
#   because it reads certificates.
# - **Measure the lag.** The function `tick` above is enough. In asyncio's debug mode (`PYTHONASYNCIODEBUG=1`), Python logs every step longer than 0.1 s.
# - **`asyncio.to_thread` is fine** for a library that has no async version.

# %% [markdown]
# ## Recap
#
# <details><summary>A coroutine has five <code>await</code>s. How often does it yield?</summary>
#
# It depends on what they await, and the answer may be never. Only something that suspends the task lets others run: a timer, a socket, a thread, or another
# task that is not done.
# </details>
#
# <details><summary>You put <code>await asyncio.sleep(0)</code> before a blocking call. Does the loop stay responsive?</summary>
#
# No. Other tasks run once, before the call. The call itself still blocks the thread until it ends.
# </details>
#
# <details><summary>Somebody replaces threads with httpx "because threads block the event loop". Is that right?</summary>
#
# No. The chart shows that threads do not block it. There are good reasons for the change; this is not one of them.
# </details>
#
# **Next:** the migration begins in [03 · Step 1: the client](03_step_1_the_client.ipynb).

# %% [markdown]
# ## Appendix: a coroutine in a plain function
#
# You can skip this part. It is about one error that many people meet in a notebook. In a script you call `asyncio.run(main())`. It makes a loop and runs
# it until `main` ends. Here it fails:

# %%
coroutine = a_moment()
try:
    asyncio.run(coroutine)
except RuntimeError as error:
    coroutine.close()
    print(error)


# %% [markdown]
# The kernel's thread already runs a loop, the one that reads your cells. A second loop would block the first one until it ended, so Python refuses. A cell
# can `await`. A plain function cannot. If you need a plain function, run the coroutine on a loop in another thread. `anyio`, which is installed with httpx,
# can do this:


# %%
from anyio.from_thread import start_blocking_portal


async def ask():
    async with SupabaseAsync(lab.url, lab.key) as db:
        return await db.select("contests", columns="title", order="id", limit=1)


def first_title() -> str:
    with start_blocking_portal() as portal:  # a thread with an event loop
        return portal.call(ask)[0]["title"]


first_title()

# %% [markdown]
# This call blocks the notebook's loop until the response arrives. That is acceptable in a notebook and not in a service. `ask` makes a client
# of its own, because a client that you used in a cell belongs to the notebook's loop (see notebook 03).
#
# Search engines suggest `nest_asyncio` for the same error. It patches asyncio so that a running loop can run another coroutine to its end. Cells with
# `asyncio.run` then work if you run them one by one. But *Run All* sends all cells together. The next cell tries this in two fresh kernels, the second one
# with the maintained fork, and then measures the CPU time of plain tasks. The line "no patch" is the control. (About 7 seconds.)

# %%
from supalab.course import try_nest_asyncio

print(await try_nest_asyncio())

# %% [markdown]
# A star marks a cell that never ran. With `nest_asyncio`, cells that are queued behind a patched cell are lost without an error; with the fork,
# `nest_asyncio2`, they run. Up to Python 3.13, both replace asyncio's fast C tasks with slower Python tasks in the whole process. So this course never applies
# them: in a patched kernel you would measure the patch. Use the first row that fits:
#
# | where you are | what to do |
# |---|---|
# | you can change the function | make it `async` and `await` it |
# | a notebook's cell | `await` at the top level |
# | a script, a command | `asyncio.run(main())`, once |
# | a plain function inside a running loop | one loop in a thread: `start_blocking_portal`, as above |
# | code that you cannot change, in a kernel that measures nothing | `nest_asyncio2.apply()`, before anything else |
