# The source of 02_inside_the_loop.ipynb; rebuild with: python -m supalab.course.build

# %% [markdown]
# # 02 · Inside the loop
#
# **10 minutes.** You see what an `await` gives up, and to whom; why fake async was invented; and why `asyncio.run` fails in a notebook.
#
# - **You will** watch a ticker beside three clients; free a loop that is held up; choose a way to run a coroutine.
# - **You need** notebook [01](01_see_the_ceiling.ipynb), or to have written an `async def` before.

# %%
import asyncio

import requests

from supalab import FakeSupabaseAsync, SupabaseAsync
from supalab.clients.variants import BlockingSupabaseAsync
from supalab.course import NotDone, check, predict, start_lab
from supalab.course.heartbeat import heartbeat, heartbeats

lab = start_lab(latency=0.1)

# %% [markdown]
# ## One thread, many turns
#
# A service answers its health check two seconds late. CPU idle, database fast: somebody has held up the [event loop](glossary.md#event-loop).
#
# A loop runs in one thread. It gives a coroutine a turn, and nobody else gets one until that coroutine gives it back: at every `await`, people say.
# `gather` makes a task of each worker. Guess: in which order will the next cell print its four lines?


# %%
async def nothing():
    """Awaited, but it waits for nothing."""


async def worker(name, pause):
    print(name, "begins")
    await pause()
    print(name, "ends")


_ = await asyncio.gather(worker("A", nothing), worker("B", nothing))

# %% [markdown]
# A ran to its end before B began, with an `await` on the way. Now the same two, with a pause that really waits:


# %%
async def a_moment():
    await asyncio.sleep(0.01)


_ = await asyncio.gather(worker("A", a_moment), worker("B", a_moment))

# %% [markdown]
# So `await` says: "run this, and *if* something in there has to wait, others may go on meanwhile". Deep below there must be something that the loop
# can wait for: a timer, a socket, a thread's result. If there is nothing, your coroutine runs on like a plain function.

# %% [markdown]
# ## Blocking
#
# So a client can say `async` in every method and still never let anybody in:
#
# ```python
# async def select(self, table):
#     return requests.get(...).json()
# ```
#
# `heartbeat` runs calls of it beside a [**ticker**](glossary.md#ticker), which asks for a turn every 10 ms. How late its turn comes is the
# [**loop lag**](glossary.md#loop-lag); a health check would be as late.
#
# Twelve callers ask at once; each request takes 0.1 s. How late will the ticker be at worst? Put seconds in place of `None`, or leave it. (A few
# seconds.)

# %%
guess = predict("the ticker's longest lag", None)

async with BlockingSupabaseAsync(lab.url, lab.key) as db:
    blocking = await heartbeat("blocking", *(db.select("contests", limit=10) for _ in range(12)))
print(guess.beside(blocking.longest_lag))

# %% [markdown]
# Many expect 0.1 s: one request, a tick, the next request. But all twelve callers stood in line before the ticker, and each ran from its first step to
# its answer without waiting for anything *that the loop knows of*: 12 × 0.1 s, and work of their own.

# %% [markdown]
# ## Fake and real
#
# Now the fake client, 3 threads around the same `requests.get`, and beside it the real one with the same limit. Who lets the loop breathe? (About 3
# seconds.)

# %%
async with FakeSupabaseAsync(lab.url, lab.key, limit=3) as db:
    fake = await heartbeat("fake-3", *(db.select("contests", limit=10) for _ in range(12)))
async with SupabaseAsync(lab.url, lab.key, limit=3) as db:
    real = await heartbeat("real-3", *(db.select("contests", limit=10) for _ in range(12)))
heartbeats([blocking, fake, real], guess=guess.value)

# %% [markdown]
# **Fake async does keep the loop free.** That is what it was invented for: a thread waits for the socket, the loop waits for the thread, others have
# their turns. With the same limit it takes about as long as the real client. It is "fake" because each request in flight still holds a thread, not
# because it blocks. (A short gap in one run, but not in the next, is your machine.)

# %% [markdown]
# ## Exercise 02a · Let the loop breathe
#
# This coroutine blocks the loop. Make it stop blocking, and let it return the same rows:
#
# | looked at | before | what it should be |
# |---|---|---|
# | one call returns | a list of rows | a list of rows |
# | a ticker beside 8 calls of 0.15 s | 1.2 s late | hardly late |
# | 8 calls at once, in flight at the lab | 1 | 4 or more |


# %% exercise 02a
async def fetch(url: str, headers: dict[str, str]) -> list[dict]:
    """Return the rows at this address."""
    # return requests.get(url, headers=headers).json()     <- this is what blocks
    # <solution>
    response = await asyncio.to_thread(requests.get, url, headers=headers)
    return response.json()
    # </solution>
    #: raise NotDone("how can requests.get wait somewhere else than on the loop's thread?")


# %%
await check("02a", fetch)

# %% [markdown]
# ## Your notebook is a loop, too
#
# In a script you would call `asyncio.run(main())`: it makes a loop and runs it to the end of `main`. Here? (`attempt` says in one line what came of it.)

# %%
from supalab.course.loops import attempt

attempt(asyncio.run, a_moment())

# %% [markdown]
# The kernel's thread is *inside* a loop already, the one that reads your cells. Running a second one to its end would hold up the first:
# [blocking](glossary.md#blocking) again. So Python refuses.
#
# A cell can `await`, as you did all along. A *plain* function cannot. If you must have one, give the coroutine a loop in another thread:

# %%
from supalab.course.loops import run_in_loop_thread


async def ask():
    async with SupabaseAsync(lab.url, lab.key) as db:
        return await db.select("contests", columns="title", order="id", limit=1)


def first_title() -> str:
    return run_in_loop_thread(ask())[0]["title"]


first_title()

# %% [markdown]
# No magic: the notebook's own loop stands still until the answer is there. (In a service, that is blocking.) And `ask` makes its own client: one
# used here before belongs to this loop (see 03).

# %% [markdown]
# ## nest_asyncio, and what it costs
#
# Search for that error, and you are told to install `nest_asyncio`, a patch that lets a running loop be run again from within. Cells with `asyncio.run`
# then work, one at a time. But *Run All* sends all cells at once. Two fresh kernels try that, the second with the maintained fork. (About 5 seconds.)

# %%
from supalab.course.nested import PATCHES, queue_all, slower_by

for seen in await queue_all():
    print(seen)

# %% [markdown]
# A star is a cell that never ran: with the kernel installed here, the patched loop inside one cell loses those queued behind it, without an error; the
# fork does not. What do both cost? Look at the CPU time of plain tasks; the first line is the control. (About 2 seconds.)

# %%
for patch in (None, *PATCHES):
    print(f"{patch or 'no patch':<14}{await slower_by(patch):.1f} x the CPU for the same tasks")

# %% [markdown]
# Both swap asyncio's C tasks for Python ones, in the whole process (the fork up to Python 3.13). So this course never applies them: a patched
# kernel measures the patch. Go no further down this list than you must:
#
# | where you are | what to do |
# |---|---|
# | a notebook's cell | `await` at the top level |
# | a script, a command | `asyncio.run(main())`, once |
# | a plain function inside a running loop | one loop in a thread: `run_in_loop_thread` in `supalab/course/loops.py` |
# | code that you cannot change, in a kernel that measures nothing | `last_resort()`, in the same file: it applies `nest_asyncio2` |

# %% [markdown]
# ## In practice
#
# - **Real clients can hold the loop, too:** parsing a huge answer, or making an `httpx.AsyncClient`, which reads certificates, is work on the
#   loop's thread.
# - **Measure lag.** A ticker costs ten lines; asyncio's debug mode (`PYTHONASYNCIODEBUG=1`) logs every turn over 0.1 s.
# - **`asyncio.to_thread` is no sin** for a library without an async twin.

# %% [markdown]
# ## Recap
#
# <details><summary>A coroutine has five <code>await</code>s. How many turns does it give up?</summary>
#
# It depends on what is below, and may be none. Only what suspends the task lets others in: a timer, a socket, another task that is not done.
# </details>
#
# <details><summary>You put <code>await asyncio.sleep(0)</code> before a blocking call. Does the loop breathe now?</summary>
#
# Once, before the call. The call itself still holds the thread to its end.
# </details>
#
# <details><summary>Somebody replaces threads by httpx "because threads block the event loop". What do you say?</summary>
#
# They don't, as the picture shows. There are good reasons for the change; this is not one.
# </details>
#
# **Next:** [03 · Step 1: the client](03_step_1_the_client.ipynb), where the migration begins.
