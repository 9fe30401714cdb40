# The source of 00_start_here.ipynb; rebuild with: python -m supalab.course.build

# %% [markdown]
# # 00 · Start here
#
# **6 minutes.** You run two clients against a server that counts, and you *see* what `async def` did and did not do.
#
# - **You will** run a hundred requests through a fake async client and a real one; read a request timeline; make a fair comparison.
# - **You need** nothing but this kernel: no network, no account.
#
# Run each cell with <kbd>Shift</kbd>+<kbd>Enter</kbd>, from top to bottom; each may be run again. A linked word leads to the
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
#         loop = asyncio.get_running_loop()
#         # _get is a plain method that calls requests.get
#         return await loop.run_in_executor(self._executor, self._get, table)
# ```
#
# Every method says `async def`, callers `await` it, reviewers nod. Underneath, a blocking library runs in a few threads: that is
# [**fake async**](glossary.md#fake-async). It was a sensible step once. What does it cost?

# %% [markdown]
# ## A server that counts
#
# The [**lab**](glossary.md#lab) is a small server that answers as a Supabase project does, and takes as long for each request as you tell it: here 0.15
# seconds. It also keeps a record, the [**witness**](glossary.md#witness), so nobody has to believe what a client says of itself.

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
# `observe` starts a hundred `db.select(…)` at once, a **burst**, and waits for all of them. `"fake-3"` names the [**arm**](glossary.md#arm): the kind of
# client, and the limit of 3 threads.
#
# **Before you run the cell, guess:** how many seconds will it take, at 0.15 s each? How many connections will the server see? Then watch: each bar is
# a request, counted by the lab; an outline is one still in flight. (A few seconds.)

# %%
from supalab.course import observe

async with FakeSupabaseAsync(lab.url, lab.key, limit=3) as db:
    fake_3 = await observe(db, lab, "fake-3", watch=True)
print(f"The witness: {lab.witness()}")

# %% [markdown]
# The bars never stood more than three high. With 3 at a time, 100 requests need 34 rounds, and 34 rounds of 0.15 s are 5.1 s: the threads are the
# ceiling, whatever `async def` promises. (The gaps between bars are the client's own work; they come on top.) And each request dialled a connection of
# its own, because `requests.get` opens one every time.

# %% [markdown]
# ## A hundred requests, real
#
# Now the client that this course leads to: the same methods, on `httpx`, with up to 10 requests in flight. Guess again.

# %%
async with SupabaseAsync(lab.url, lab.key, limit=10) as db:
    real_10 = await observe(db, lab, "real-10", watch=True)
print(f"The witness: {lab.witness()}")

# %% [markdown]
# Done several times sooner: articles are written about less. But was it the *async*? We changed two things at once: the kind of client, **and**
# the limit, from 3 to 10.

# %% [markdown]
# ## The fair control
#
# So we change one thing only: the old fake client, with 10 threads instead of 3. What do you expect?

# %%
async with FakeSupabaseAsync(lab.url, lab.key, limit=10) as db:
    fake_10 = await observe(db, lab, "fake-10", watch=True)
print(f"The witness: {lab.witness()}")

# %% [markdown]
# ## See it
#
# The three runs on one clock, as if they had begun together. Each row is a **slot**, which runs one request at a time; below are the requests that
# still wait for one.

# %%
from supalab.figures import timeline
from supalab.measure.trial import TrialSet

timeline(TrialSet((fake_3, fake_10, real_10)))

# %% [markdown]
# From `fake-3` to `fake-10` only the limit changes, from `fake-10` to `real-10` only the client. Which step moved the end?
#
# So the new client earned nothing? Look at the last two lines of the witness again: a connection for each slot, or for each request. Nor is that the doing
# of async: threads that share a `requests.Session` keep connections, too. [08](08_what_earned_it.ipynb) takes such changes apart.

# %% [markdown]
# ## Side by side
#
# What else differs? To measure memory and CPU, `race` runs each arm in a fresh process. (About 12 seconds.)

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
# - **makespan** is from the first question to the last answer; **x ideal** sets it against latency alone at this limit.
# - **wait** is the time for a slot, **service** the time from the slot to the answer. Most of a burst's latency is wait.
# - **CPU** and **memory** are the client's own. Here the two arms with limit 10 differ: threads *and* connections have their price.
#
# The last line checks the numbers against each other; notebook 01 shows how. Your times will differ from a neighbour's; the counts should not.

# %% [markdown]
# ## Your turn
#
# Change the limit, and the number in the name, and run it again. From which limit on does it no longer help?

# %%
async with SupabaseAsync(lab.url, lab.key, limit=20) as db:
    yours = await observe(db, lab, "real-20", watch=True)
print(f"done after {yours.makespan_s:.2f} s. The witness: {lab.witness()}")

# %% [markdown]
# <details><summary>Tried three or four? Then compare</summary>
#
# Any limit from 50 to 99 needs two rounds, 100 needs one, and one is the least: 300 changes nothing. What is left above 0.15 s is work of client and
# lab, with a hundred connections to open.
# </details>
#
# ## In practice
#
# - If your service never has more than three requests to send at once, more slots will not make it faster.
# - Compare an old client with a new one at the same limit; "faster" needs that control.
# - In a terminal, `supalab race` does all of this in one line; with `--url …`, and your key in the environment as `SUPABASE_KEY`, on a real project.
#
# What if a caller gives up, the server fails, a thousand requests are in flight? Those are the questions of this course, on its way to a client with
# what production needs: a gate, one deadline, retries for reads. (The lab leaves with this kernel.)
#
# **Next:** [01 · See the ceiling](01_see_the_ceiling.ipynb), where you compute such a result before you measure it.
