# The source of 00_start_here.ipynb; rebuild with: python -m supalab.course.build

# %% [markdown]
# # 00 · Start here
#
# **5 minutes.** You run two clients against a server that counts, and you *see* what `async def` did and did not do.
#
# - **You will** run a hundred requests through a fake async client and a real one; read a request timeline; make a fair comparison.
# - **You need** nothing but this kernel: no network, no account.
#
# Run each cell with <kbd>Shift</kbd>+<kbd>Enter</kbd>, from top to bottom. Each may be run a second time. A linked word leads to the
# [glossary](glossary.md).

# %%
from supalab import FakeSupabaseAsync, SupabaseAsync
from supalab.course import ready_to_go

ready_to_go()

# %% [markdown]
# ## A client that only looks concurrent
#
# Somewhere in many code bases lives a class like this (shortened; the whole of it is `supalab/clients/fake.py`):
#
# ```python
# class FakeSupabaseAsync:
#     def __init__(self, url, key):
#         self._executor = ThreadPoolExecutor(max_workers=3)
#
#     async def select(self, table):
#         loop = asyncio.get_event_loop()
#         # _get is a plain method that calls requests.get
#         return await loop.run_in_executor(self._executor, self._get, table)
# ```
#
# Every method says `async def`. Callers `await` it, reviewers nod. Underneath, a blocking library runs in a few threads. We call that
# [**fake async**](glossary.md#fake-async). It was a sensible step once; let's find out what it costs.

# %% [markdown]
# ## A server that counts
#
# The [**lab**](glossary.md#lab) is a small server in a process of its own. It answers as a Supabase project does, and it takes as long for each request as
# you tell it: here 0.15 seconds. It also keeps a record, the [**witness**](glossary.md#witness), so that we never have to take a client's word.

# %%
from supalab.course import start_lab

lab = start_lab(latency=0.15)
lab

# %% [markdown]
# A notebook already runs an event loop, so you can `await` right in a cell; no `asyncio.run` is needed.

# %%
async with SupabaseAsync(lab.url, lab.key) as db:
    rows = await db.select("contests", columns="title,prize", order="prize.desc.nullslast", limit=3)
rows

# %% [markdown]
# ## A hundred requests, fake
#
# We send 100 requests at once, each 0.15 s long, through the fake client with its 3 threads.
#
# **Before you run the cell, guess:** how many seconds will it take? How many connections will the server see?
# A rough guess is enough; the point is to have one. (The cell takes about 5 seconds.)

# %%
from supalab.course import observe

async with FakeSupabaseAsync(lab.url, lab.key, limit=3) as db:
    fake_3 = await observe(db, lab, "fake-3")
print(f"done after {fake_3.makespan_s:.1f} s. The witness: {lab.witness()}")

# %% [markdown]
# A hundred callers were waiting, and the server never had more than three requests to do. With 3 at a time, 100 requests need 34
# rounds, and 34 rounds of 0.15 s are 5.1 s: the threads are the ceiling, whatever `async def` promises. And each request dialled a connection of its
# own, because `requests.get` opens one every time.

# %% [markdown]
# ## A hundred requests, real
#
# Now the client at the end of this course: the same methods, on `httpx`, with up to 10 requests in flight. Guess again. (2 seconds.)

# %%
async with SupabaseAsync(lab.url, lab.key, limit=10) as db:
    real_10 = await observe(db, lab, "real-10")
print(f"done after {real_10.makespan_s:.1f} s. The witness: {lab.witness()}")

# %% [markdown]
# That is the kind of result one writes an article about: the real client finished several times sooner. But was it
# the *async* that made the difference? We changed two things at once: the kind of client, **and** the limit, from 3 to 10.

# %% [markdown]
# ## The fair control
#
# So we change one thing only: the old fake client, with 10 threads instead of 3. What do you expect? (2 seconds.)

# %%
async with FakeSupabaseAsync(lab.url, lab.key, limit=10) as db:
    fake_10 = await observe(db, lab, "fake-10")
print(f"done after {fake_10.makespan_s:.1f} s. The witness: {lab.witness()}")

# %% [markdown]
# ## See it
#
# Each bar is one request, each row a slot that runs one request at a time. All three started together.

# %%
from supalab.figures import timeline
from supalab.measure.trial import TrialSet

timeline(TrialSet((fake_3, fake_10, real_10)))

# %% [markdown]
# Compare the ends of `fake-10` and `real-10`, then those of `fake-3` and `fake-10`. Which step shortened the work: from threads to async, or
# from 3 at once to 10 at once? So is leaving the threads worth nothing? Look at the connections again. And this picture cannot show
# what a waiting request costs in memory and CPU, what happens when a caller gives up, or how either client behaves with a thousand
# requests in flight. Those are the questions of this course.

# %% [markdown]
# ## Side by side
#
# Memory cannot be measured in this kernel, which has a plotting library loaded. `race` runs every [**arm**](glossary.md#arm) (a kind of client and its limit) in
# a fresh process, with the witness reset before each. Watch the slots fill while it runs: every bar is a request, counted by the lab.
# (About 12 seconds.)

# %%
from supalab import race
from supalab.course import live_view

trials = race(["fake-3", "fake-10", "real-10"], lab=lab, progress=live_view(lab))

# %%
from supalab.figures import side_by_side

side_by_side(trials)

# %%
from supalab.measure import table

table.show(trials)

# %% [markdown]
# How to read the table:
#
# - **in flight** and **connections** are the witness's numbers, not the client's.
# - **makespan** is from the first question to the last answer; **x ideal** compares it with what latency alone would take at this limit.
# - **wait** is the time for a slot, **service** the time from the slot to the answer. Nearly all of a burst's latency is wait.
# - **CPU** and **memory** are the client's own: milliseconds for each request, and what it added to its process.
#
# Your numbers will differ from a neighbour's. The counts and the ratios should not.

# %% [markdown]
# ## In practice
#
# - If your service never has more than three requests to send at once, this migration will not make it faster. The witness tells you.
# - Comparing an old client with a new one, change one thing at a time. "Faster" needs a control with the same limit.
# - From a terminal, `supalab race` does all of this in one line, and `supalab race --url … --key …` does it on a real project.

# %% [markdown]
# ## What comes next
#
# Open `supalab/clients/fake.py` and `supalab/clients/article.py` side by side: they share every method and differ in how one request is
# sent. That difference is the migration. Then read `real.py`, where a client gets what production needs around it: a gate, one deadline,
# retries for reads, errors from one tree. The cell below is yours: change the limit, or ask the lab for something else.
#
# The lab leaves with this kernel; there is nothing to clean up.

# %%
async with SupabaseAsync(lab.url, lab.key, limit=30) as db:
    yours = await observe(db, lab, "real-30")
print(f"done after {yours.makespan_s:.1f} s. The witness: {lab.witness()}")
