# The source of 00_primer.ipynb; rebuild with: python -m supalab.course.build

# %% [markdown]
# # 00 · Primer
#
# **14 minutes.** Optional, for people who have never studied asyncio. You meet the seven words of Python's async code, each with a few lines that you can run.
#
# - **You will** call a coroutine and see that nothing happens; run two tasks at the same time; limit how many run at once.
# - **You need** ordinary Python: functions, loops, exceptions. If you know `asyncio.gather` and `asyncio.Semaphore`, go to [00 · Start here](00_start_here.ipynb).
#
# Run the cells from top to bottom with <kbd>Shift</kbd>+<kbd>Enter</kbd>. The first one starts the *lab*, a small test server on this machine.

# %%
import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from supalab import SupabaseAsync
from supalab.course import NotDone, charts, check, heartbeat, start_lab

lab = start_lab(latency=0.2)

# %% [markdown]
# ## Coroutine
#
# `async def` defines a coroutine function. Calling it runs nothing. It returns a [**coroutine**](glossary.md#coroutine), an object that *can* run later:


# %%
async def double(number):
    await asyncio.sleep(0.2)  # stands for a request that takes 0.2 s
    return 2 * number


coroutine = double(21)
print(coroutine)

# %% [markdown]
# ## Await
#
# [**`await`**](glossary.md#await) runs the coroutine and gives you its result. Your own code continues after that. The *event loop* is the part of asyncio that
# runs coroutines, one at a time, in one thread. While your code waits, the loop can run other coroutines. In a notebook you can write `await` directly in a
# cell; in a plain function you cannot.

# %%
print(await coroutine)

# %% [markdown]
# Two awaits, one after the other, take the sum of both times:

# %%
began = time.perf_counter()
print(await double(1), await double(2))
print(f"{time.perf_counter() - began:.1f} s")

# %% [markdown]
# ## Task
#
# A [**task**](glossary.md#task) starts a coroutine without waiting for it. The event loop runs it as soon as your code awaits something. Here two tasks run
# at the same time:

# %%
began = time.perf_counter()
first, second = asyncio.create_task(double(1)), asyncio.create_task(double(2))
print(await first, await second)
print(f"{time.perf_counter() - began:.1f} s")

# %% [markdown]
# ## Gather
#
# [**`asyncio.gather`**](glossary.md#gather) makes a task of each coroutine, waits for all of them, and returns their results in the order of the arguments.
# How long will ten calls take?

# %%
began = time.perf_counter()
print(await asyncio.gather(*(double(number) for number in range(10))))
print(f"{time.perf_counter() - began:.1f} s")

# %% [markdown]
# About 0.2 s, because all ten wait at the same time. The next chart shows it for real requests. `SupabaseAsync` is a client for the lab. In
# the upper row, one call of `one_by_one` makes four requests in turn. In the lower row, four calls make one request each. `heartbeat` runs a
# clock on the same event loop, and the strokes are its ticks. It keeps ticking because the calls only wait. (About 2 seconds.)


# %%
async def one_by_one(db):
    for _ in range(4):
        await db.select("contests", limit=1)


async with SupabaseAsync(lab.url, lab.key) as db:
    in_turn = await heartbeat("one by one", one_by_one(db))
    together = await heartbeat("together", *(db.select("contests", limit=1) for _ in range(4)))
charts.lag([in_turn, together], title="Four requests, one by one and together")

# %% [markdown]
# ## Semaphore
#
# A thousand calls at once may be too many for a server. A [**semaphore**](glossary.md#semaphore) is a counter: `asyncio.Semaphore(2)` lets two tasks enter
# its `async with` block at a time. The others wait.

# %%
gate = asyncio.Semaphore(2)


async def limited(number):
    async with gate:
        return await double(number)


began = time.perf_counter()
print(await asyncio.gather(*(limited(number) for number in range(6))))
print(f"{time.perf_counter() - began:.1f} s")

# %% [markdown]
# Six calls, two at a time, need three waves of 0.2 s.
#
# ## Context manager
#
# `async with` uses a [**context manager**](glossary.md#context-manager). It runs something at the start of a block and something at the end, even if the block
# raises an error. The client below opens its connections inside the block and closes them at the end:

# %%
async with SupabaseAsync(lab.url, lab.key) as db:
    rows = await db.select("contests", columns="title", limit=2)
print(rows)

# %% [markdown]
# ## Executor
#
# Many libraries, such as `requests`, do not support `await`. They block: nothing else on the event loop can run until the call returns. An
# [**executor**](glossary.md#executor) runs such a function in a thread, and your coroutine awaits the result. *Fake async* clients do this for every request.


# %%
def blocking(number):
    time.sleep(0.2)
    return 2 * number


with ThreadPoolExecutor(max_workers=3) as executor:
    loop, began = asyncio.get_running_loop(), time.perf_counter()
    print(await asyncio.gather(*(loop.run_in_executor(executor, blocking, number) for number in range(6))))
print(f"{time.perf_counter() - began:.1f} s")

# %% [markdown]
# Three threads, six calls: two waves.
#
# ## Exercise 00a · Run them together, but not all at once
#
# Write `fetch_all(fetch, numbers)`. It calls the coroutine function `fetch(number)` for every number, with at most **3** calls at the same time, and returns
# the list of results in the order of `numbers`. The check brings its own `fetch`. You can try yours with `await fetch_all(double, [1, 2, 3, 4])`.
#
# | what the check looks at | expected |
# |---|---|
# | the results of 10 numbers | in the order of the numbers |
# | calls at the same time | 3 |
# | time for 10 calls of 0.1 s | 4 waves, not 10 |


# %% exercise 00a
# hint: Two cells above have what you need: the one with gather, and the one with the semaphore.
# hint: Make gate = asyncio.Semaphore(3). Write an inner `async def limited(number)` that awaits fetch(number) inside `async with gate`. Then return await asyncio.gather(*(limited(number) for number in numbers)).
# unawaited: The result is something to await, not a list. Put an await in front of asyncio.gather(…).
# coroutines: These are coroutines that never ran. fetch(number) only makes a coroutine. It runs when you await it, or when you give it to asyncio.gather.
# results: Return the list of results: gather returns them in the order of its arguments.
# never_run: fetch was never run.
# one_by_one: The calls run one after another. asyncio.gather starts them together.
# too_few: There is room for 3 calls at the same time: asyncio.Semaphore(3), with one semaphore for all calls.
# no_limit: All calls run at the same time. Make one asyncio.Semaphore(3) for all calls, and put `async with` this semaphore around each call of fetch.
# too_many: More than 3 calls run at the same time. Is there one semaphore for all calls, and does it count to 3?
async def fetch_all(fetch, numbers):
    """Call fetch for every number, three at a time; return the results in order."""
    # <solution>
    gate = asyncio.Semaphore(3)

    async def limited(number):
        async with gate:
            return await fetch(number)

    return await asyncio.gather(*(limited(number) for number in numbers))
    # </solution>
    #: raise NotDone("which of the cells above starts everything together, and which one limits it?")


# %%
await check("00a", fetch_all)

# %% [markdown]
# ## Recap
#
# <details><summary>You call an <code>async def</code> function and nothing happens. Why?</summary>
#
# The call returns a coroutine. It runs when you <code>await</code> it, or when you make a task of it.
# </details>
#
# <details><summary>Do <code>await a()</code> and then <code>await b()</code> run at the same time?</summary>
#
# No. The second one starts after the first one has ended. Use tasks or <code>gather</code>.
# </details>
#
# **Next:** [00 · Start here](00_start_here.ipynb).
