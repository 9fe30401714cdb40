# The source of 00_start_here.ipynb; rebuild with: python -m supalab.course.build

# %% [markdown]
# # 00 · Start here
#
# **11 minutes.** You send the same requests through two clients, count them at the server, and see what `async def` changed and what it did not.
#
# - **You will** run sixty requests through a fake async client and a real async client; read a request timeline; make a fair comparison.
# - **You need** only this notebook. It needs no network and no account. If *coroutine*, *task* and `gather` are new words, begin
#   with the [primer](00_primer.ipynb).
#
# Run the cells from top to bottom with <kbd>Shift</kbd>+<kbd>Enter</kbd>. You can run each cell again. Linked words lead to the
# [glossary](glossary.md).

# %%
import asyncio
import time

from supalab import FakeSupabaseAsync, SupabaseAsync, Workload, race
from supalab.course import charts, live_view, observe, show_source, start_lab

# %% [markdown]
# ## A client that only looks concurrent
#
# Many code bases contain a class like this one. It is shortened. To read the whole class, write
# `show_source(FakeSupabaseAsync)` in a new cell.
#
# ```python
# class FakeSupabaseAsync:
#     def __init__(self, url, key):
#         self._executor = ThreadPoolExecutor(max_workers=3)
#
#     async def select(self, table):
#         loop = asyncio.get_running_loop()
#         # _get is a plain method that calls requests.get
#         return await loop.run_in_executor(self._executor, self._get, table)
# ```
#
# Every method is `async def`, and callers `await` it. Inside, a blocking library runs in a few threads. We call this
# [**fake async**](glossary.md#fake-async). It was once a sensible step. This notebook shows what it costs.

# %% [markdown]
# ## A server that counts
#
# The [**lab**](glossary.md#lab) is a small server on this machine. It behaves like a Supabase project, and it takes a fixed time for each request.
# You choose this *server time*; here it is 0.15 seconds. The lab also counts what it sees. Its counters are the [**witness**](glossary.md#witness), so
# you never have to trust what a client says about itself.

# %%
lab = start_lab(latency=0.15)  # the server time, in seconds
lab

# %% [markdown]
# A notebook already runs an event loop, so you can write `await` directly in a cell. You do not need `asyncio.run`.

# %%
async with SupabaseAsync(lab.url, lab.key) as db:
    rows = await db.select("contests", columns="title,prize", order="prize.desc.nullslast", limit=3)  # 3 rows
rows

# %% [markdown]
# ## Sixty requests through the fake client
#
# `asyncio.gather` starts sixty calls at once and waits for all of them. Such a load is called a **burst**. The client has 3 threads.
#
# **Guess before you run the cell:** how many seconds will the burst take, if the server needs 0.15 s for each request? How many connections will the
# server see?

# %%
async with FakeSupabaseAsync(lab.url, lab.key, limit=3) as db:  # 3 threads
    lab.reset()  # the witness counts from here
    began = time.perf_counter()
    await asyncio.gather(*(db.select("contests", limit=10) for _ in range(60)))
    print(f"60 requests took {time.perf_counter() - began:.2f} s")
print(f"The witness: {lab.witness()}")

# %% [markdown]
# The server never saw more than 3 requests at once. With 3 at a time, 60 requests need 20 waves, and 20 waves of 0.15 s take 3.0 s. The three threads
# set this ceiling; `async def` does not change it. The rest of the time is the client's and the lab's own work. The server also saw sixty connections,
# because `requests.get` opens a new connection for each request.

# %% [markdown]
# ## Sixty requests through the real client
#
# This is the client at the end of the course. It has the same methods, it is built on `httpx`, and it has at most 10 requests in flight. `observe` does
# the same as the cell above and draws a chart while it runs: how many requests the lab has in flight at each moment. The name
# `"real-10"` stands for an [**arm**](glossary.md#arm): one configuration, a kind of client and its concurrency limit. Guess again, then run the cell.

# %%
async with SupabaseAsync(lab.url, lab.key, limit=10) as db:  # 10 requests in flight
    real_10 = await observe(db, lab, "real-10", requests=60, watch=True)
print(f"The witness: {lab.witness()}")

# %% [markdown]
# It finished about three times faster. Many articles would stop here. But did *async* make it faster? We changed two things at once: the kind of
# client **and** the limit, from 3 to 10.

# %% [markdown]
# ## The fair control
#
# Now we change one thing only. We run the fake client with 3 threads again, and then with 10. What do you expect from 10 threads?

# %%
async with FakeSupabaseAsync(lab.url, lab.key, limit=3) as db:
    fake_3 = await observe(db, lab, "fake-3", requests=60, watch=True)
async with FakeSupabaseAsync(lab.url, lab.key, limit=10) as db:
    fake_10 = await observe(db, lab, "fake-10", requests=60, watch=True)
print(f"The witness for fake-10: {lab.witness()}")

# %% [markdown]
# ## See it
#
# The chart puts the three runs on one time axis. Each row is a **slot**, which runs one request at a time. The panel below shows how many requests
# are still waiting for a slot.

# %%
charts.timeline([fake_3, fake_10, real_10])

# %% [markdown]
# From `fake-3` to `fake-10` only the limit changes. From `fake-10` to `real-10` only the client changes. The limit made the difference, because `fake-10`
# and `real-10` finish at about the same time.
#
# So what did the new client change? Compare the connections: about 10 for `real-10`, 60 for `fake-10`. Async is not the cause of this difference either.
# Threads that share one `requests.Session` reuse connections too. [Notebook 08](08_what_made_it_faster.ipynb) measures each change by itself.

# %% [markdown]
# ## Side by side
#
# What else differs? `race` runs each arm in a fresh process, so that it can measure memory and CPU time. (About 8 seconds.)

# %%
trials = race(["fake-3", "fake-10", "real-10"], Workload(60, 0.15), lab=lab, progress=live_view(lab))

# %%
trials.figure()

# %%
trials

# %% [markdown]
# - **total time** (also called *makespan*) runs from the first request to the last response. **x ideal** is the total time divided by the time that the
#   server alone would need at this limit.
# - **queue** is the time until a request gets a slot. **service** is the time from the slot to the response. In a burst, most of a caller's time is queue
#   time. **p50** is the median, and 99% of the requests are faster than **p99**.
# - **CPU** and **memory** belong to the client's process. Here `fake-10` and `real-10` differ: threads and new connections both have a cost.
#
# The last line checks the numbers against each other; notebook 01 explains how. Your times will differ from your neighbour's. The counts should be the
# same.

# %% [markdown]
# ## Your turn
#
# Change the limit and the number in the name, and run the cell again. Above which limit does the burst not get any faster?

# %%
async with SupabaseAsync(lab.url, lab.key, limit=20) as db:
    yours = await observe(db, lab, "real-20", requests=60, watch=True)
print(f"Done after {yours.makespan_s:.2f} s. The witness: {lab.witness()}")

# %% [markdown]
# <details><summary>Have you tried three or four limits? Then compare.</summary>
#
# Any limit from 30 to 59 needs two waves, and 60 needs one. You cannot have fewer than one wave, so 200 changes nothing. The rest of the time, above
# 0.15 s, is the client's and the lab's own work, for example opening sixty connections.
# </details>
#
# ## In practice
#
# - More slots help only if your service has more requests to send at once than it has slots.
# - Compare an old client and a new client at the same limit. "Faster" needs this control.
# - In a terminal, `supalab race` does all of this. With `--url …`, and your key in the environment variable `SUPABASE_KEY`, it measures a real
#   project.
#
# What happens if a caller gives up, if the server fails, or if a thousand requests are in flight? This course answers these questions. It ends with
# a client that has what production needs: a concurrency limit in front of its pool, one deadline for each request, and retries for reads. (The lab
# stops when this kernel stops.)
#
# From now on there are exercises. `!supalab progress` in a cell shows which of them you have done.
#
# **Next:** in [01 · See the ceiling](01_see_the_ceiling.ipynb) you compute the duration of a burst before you measure it.
