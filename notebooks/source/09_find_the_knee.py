# The source of 09_find_the_knee.ipynb; rebuild with: python -m supalab.course.build

# %% [markdown]
# # 09 · Find the knee
#
# **10 minutes.** You raise the limit until it hurts, find out what hurts, and learn how few slots your service needs.
#
# - **You will** see a real async client get slower with *more* connections; tell the gate from the transport; compute a limit.
# - **You need** notebook [01](01_see_the_ceiling.ipynb), or Little's law: in flight = throughput × time.

# %%
import math

from supalab.course import NotDone, check, predict, start_lab
from supalab.course.pace import pace, paces_picture
from supalab.experiments import throughput
from supalab.experiments.throughput_figure import figure
from supalab.measure.record import Record
from supalab.shipped import shipped

lab = start_lab(latency=0.1)

# %% [markdown]
# ## If ten are good, are seventy-five better?
#
# In [01](01_see_the_ceiling.ipynb) the limit was the ceiling. So a team raises it, to 10, to 100, "to be safe". On paper each slot adds the same:
# a request takes 0.1 s here, so a slot answers 10 a second, and 75 slots answer 750. We ask three clients that keep their connections:
#
# - `session`: threads that share one `requests.Session`; the fair control.
# - `kept`: the article's httpx client, keeping all its connections.
# - `real`: our client: httpx's API over a connection pool of its own.

# %% [markdown]
# ## Predict
#
# How many requests per second does `kept` answer with 75 slots?

# %%
guess = predict("kept with 75 slots", None, unit="requests/s")
guess

# %% [markdown]
# ## Run
#
# As many callers as slots, and each asks twice. The connections are open before the clock starts. The number after "of" is what arithmetic allows.
# (About 8 seconds.)

# %%
paces = []
for limit in (5, 20, 75):
    for kind in ("session", "kept", "real"):
        paces.append(await pace(kind, limit, lab))
        print(paces[-1])

# %%
kept_75 = {one.name: one for one in paces}["kept-75"]
print(guess.beside(kept_75.per_s))
paces_picture(paces, guesses={"kept-75": guess.value})

# %% [markdown]
# On a quiet machine, all three start along the dotted line. Then `kept` turns
# around: with more slots it answers *fewer* requests. This is its [**knee**](glossary.md#knee), beyond which a client gets worse. `session`
# (threads) and `real` (async) both climb on, so it is not async that makes this knee.
#
# The right panel has the reason. An event loop runs on one processor: if a request costs 10 ms of CPU, 100 requests a second are the end, at best.
# And with each slot, a request of `kept` costs more.

# %% [markdown]
# ## Where the time goes
#
# The server takes 0.1 s, always. Little's law, read backwards, tells what the *caller* sees: seconds = in flight / throughput.

# %%
for one in (one for one in paces if one.limit == 75):
    print(f"{one.name:10} {one.took:.2f} s for a request; on average {one.busy:4.1f} in flight at the lab")

# %% [markdown]
# Look at `kept-75`: of 75 requests under way, the server has few. The others are in your own process, and don't even lack a connection: most are
# idle. The event loop has no turn for them; it is busy *inside the connection pool*. The server is bored, and its dashboard is green.

# %% [markdown]
# ## The pool, the gate, the transport
#
# A **pool** hands out connections. Each time that a request comes or goes, the pool of httpx 0.28 (its package `httpcore`) goes through its
# connections, and for each idle one through all of them again. With 10 nobody notices. With 75 that can be 56 times as much, 75² against 10².
#
# Two cures:
#
# - A [**gate**](glossary.md#gate) is a semaphore in front of the pool: callers queue at it, and the pool never sees more of them than slots.
# - Another [**transport**](glossary.md#transport), the part below httpx that sends the bytes: ours belongs to this package and keeps its own pool.
#
# `gated` is `kept` with a gate; `real` has both. With as many callers as slots, a gate has nothing to do. So 150 callers come at once, for 10
# slots. Which will help more, the gate or the transport? (About 6 seconds.)

# %%
crowds = [await pace(kind, 10, lab, callers=150) for kind in ("kept", "gated", "real")]
print(*crowds, sep="\n")

# %% [markdown]
# Ten slots are below everybody's knee, so on a quiet machine throughput is nearly the same. But look at the CPU. A *crowd* before the pool makes
# each request costly, and the gate cures that. *Many connections* do it too; only another transport cures that. And
# without a gate, callers who leave can break httpx's pool for good (notebook [10](10_in_production.ipynb)).

# %% [markdown]
# ## The whole curve
#
# The same, recorded up to 400 slots, with `fake` too: threads that dial for each request.

# %%
recorded = Record.load(shipped("data", "reference", "throughput.json"))
figure(recorded)

# %%
for kind, rows in recorded.rows.groupby("kind", sort=False):
    last, line = rows.iloc[-1], throughput.line(recorded, kind)
    used = f"at {last.limit}: {last.per_s * last.cpu_ms / 1000:.2f} s of CPU a second"
    print(f"{kind:8} best limit {throughput.best(line):3}: {line.max():5.0f} requests/s at most; {used}")

# %% [markdown]
# Every client here has a knee: beyond it, one processor is used up. (Python's threads share one, too: they take turns.) Where it lies depends on
# client, processor and latency: measure yours with `supalab costs knee`. *Below* it, throughput is about limit / latency, whoever the client is,
# and you choose the limit by arithmetic.

# %% [markdown]
# ## How many slots do you need?
#
# Your service sends 60 requests a second, and each takes 0.15 s at the backend. By Little's law, 60 × 0.15 = 9 are in flight on average. A
# limit of 9 just suffices, and 100 would buy nothing.
#
# ## Exercise 09a · Choose the limit
#
# Write the rule. The check runs our client with your limit, and with one slot fewer: yours should reach the rate, one fewer should not.
#
# | requests per second | latency | limit |
# |---|---|---|
# | 10 | 0.25 s | 3 |
# | 45 | 0.1 s | 5 |
# | 2 | 0.1 s | 1 |
# | 60 | 0.15 s | 9 |


# %% exercise 09a
def limit_for(per_s: float, latency: float) -> int:
    """The smallest limit that reaches a throughput, if nothing but latency takes time."""
    # <solution>
    return math.ceil(per_s * latency)
    # </solution>
    #: raise NotDone("how many are in flight on average, and what if that is 4.6?")


# %%
await check("09a", limit_for)

# %% [markdown]
# ## In practice
#
# - **Leave some room.** Callers come in clusters, and if the slots are *just* enough, the queue grows without end. Take a third more
#   than the law says: a quarter of them is then free on average.
# - **The server has a knee too.** PostgREST has 10 database connections, unless somebody changed `db-pool`. A limit far above
#   only moves the queue there. Count your instances, too: 20 with a limit of 10 may be 200 connections.
# - **httpx's default is 100 connections, 20 of them kept alive.** Set both numbers.

# %% [markdown]
# ## Recap
#
# <details><summary>Throughput falls when you raise the limit. Is the server overloaded?</summary>
#
# The witness knows: if far fewer than your limit are in flight *there*, the queue is in your own process.
# </details>
#
# <details><summary>The backend becomes twice as slow. How many slots does the same throughput take?</summary>
#
# Twice as many: in flight = throughput × time. A limit that just suffices on a good day is a ceiling on a slow one.
# </details>
#
# <details><summary>A colleague shows that 100 threads beat 100 connections of httpx. Are threads better than async?</summary>
#
# It shows one pool beyond its knee. `real` is async too, and its line goes on.
# </details>
#
# **Next:** [10 · In production](10_in_production.ipynb), where requests come when they like, and callers leave.
