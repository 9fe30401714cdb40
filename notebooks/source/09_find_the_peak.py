# The source of 09_find_the_peak.ipynb; rebuild with: python -m supalab.course.build

# %% [markdown]
# # 09 · Find the peak
#
# **16 minutes.** You raise the concurrency limit until throughput falls, find the cause, and learn how few slots your service needs.
#
# - **You will** see a real async client become slower with *more* connections; separate the effect of the gate from that of the transport; compute a limit.
# - **You need** notebook [01](01_see_the_ceiling.ipynb), or Little's law: in flight = throughput × time.

# %%
import math

from supalab import Case, Workload, here, recorded
from supalab.course import NotDone, check, live_view, predict, start_lab

lab = start_lab(latency=0.1)

# %% [markdown]
# ## If ten are good, are seventy-five better?
#
# In [01](01_see_the_ceiling.ipynb) the limit was the ceiling. So a team raises it to 10, and then to 100, "to be safe". In theory each slot adds the same
# rate: a request takes 0.1 s here, so one slot completes 10 requests per second, and 75 slots complete 750. We compare three clients that reuse their
# connections:
#
# - `session`: threads that share one `requests.Session`. This is the fair control.
# - `kept`: the article's httpx client, with all of its connections kept open.
# - `real`: our client, which has httpx's API and a connection pool of its own.

# %% [markdown]
# ## Predict
#
# How many requests per second does `kept` complete with 75 slots?

# %%
guess = predict("kept with 75 slots", None, unit="requests/s")
guess

# %% [markdown]
# ## Run
#
# There are as many callers as slots, and each caller sends two requests. A warm-up opens the connections before the measurement starts. `each_limit`
# yields the bursts, and `here` runs them in this notebook, as in [08](08_what_made_it_faster.ipynb). (About 8 seconds.)


# %%
def each_limit(kinds, limits, latency=0.1):
    for limit in limits:
        for kind in kinds:
            work = Workload(2 * limit, latency, callers=limit)
            yield Case(f"{kind}-{limit}", work, options={"warm_up": limit})


found = await here(each_limit(("session", "kept", "real"), (5, 20, 75)), lab, name="throughput", progress=live_view())

# %%
found

# %%
rows = found.rows.set_index("arm")
print(guess.compare(rows.per_s["kept-75"]))
found.figure()

# %% [markdown]
# On a quiet machine, all three begin along the dotted line. Then `kept` turns down: with more slots it completes *fewer* requests. The limit with the
# highest throughput is its [**peak**](glossary.md#peak). A star marks it: the smallest limit within 5 % of the highest throughput. `session` (threads) and
# `real` (async) continue to rise. `real` is async too, so async is not the cause.
#
# The right panel shows the cause. An event loop uses one processor. If a request costs 10 ms of CPU time, 100 requests per second are the maximum. For
# `kept`, the CPU time per request grows with the number of slots.

# %% [markdown]
# ## Where the time goes
#
# The server always takes 0.1 s. Little's law tells you what the *caller* sees: seconds = in flight / throughput.

# %%
seconds = rows.limit / rows.per_s
in_flight = rows.busy_s / rows.makespan_s  # at the lab, on average
for name in ("session-75", "kept-75", "real-75"):
    print(f"{name:10} {seconds[name]:.2f} s per request; on average {in_flight[name]:4.1f} in flight at the lab")

# %% [markdown]
# Look at `kept-75`. Far fewer than 75 requests are at the server. The rest wait in your own process, although connections are idle: the event loop
# is busy *inside the connection pool*. The server has little to do, and its dashboard shows nothing wrong.

# %% [markdown]
# ## The pool, the gate, the transport
#
# A **pool** hands out connections. Whenever a request starts or ends, the pool of httpx 0.28 (package `httpcore`) scans its list of connections, and for
# each idle connection it scans the whole list again. This is O(n²): with 75 connections it can take 56 times as long as with 10.
#
# There are two remedies:
#
# - A [**gate**](glossary.md#gate) is a semaphore in front of the pool. Callers wait at the semaphore, so the pool never has more callers than slots.
#   It needs three lines:
#
#   ```python
#   self._gate = asyncio.Semaphore(limit)
#   ...
#   async with self._gate:
#       response = await self._client.get(url)
#   ```
#
# - Another [**transport**](glossary.md#transport) replaces the part below httpx that sends the bytes. `SupabaseAsync` has its own, with its own pool.
#
# `gated` is `kept` with a gate. `real` has a gate and its own transport. If there are as many callers as slots, a gate has nothing to do. So now 100 callers
# start at once, and there are 10 slots. Which remedy helps more? (About 5 seconds.)


# %%
def many_callers(kinds):
    for kind in kinds:
        yield Case(f"{kind}-10", Workload(100, 0.1), options={"warm_up": 10})


queued = await here(many_callers(("kept", "gated", "real")), lab, progress=live_view())
queued.rows[["arm", "requests", "errors", "per_s", "cpu_ms"]].round(1)

# %% [markdown]
# Ten slots are below every client's peak, so on a quiet machine the throughput is nearly the same. But look at the CPU time. Many waiting callers make each
# request expensive in the pool, and the gate prevents this. *Many connections* make it expensive too, and only another transport prevents this. Without
# a gate, cancelled callers can also break httpx's pool permanently (notebook [10](10_in_production.ipynb)).

# %% [markdown]
# ## The whole curve
#
# This is the same measurement, recorded up to 400 slots. It also includes `fake`: threads that open a new connection for each request.

# %%
curve = recorded("throughput")
curve.figure()

# %%
for kind, line in curve.rows.groupby("kind", sort=False):
    top, last = line[line.per_s >= 0.95 * line.per_s.max()].iloc[0], line.iloc[-1]  # the star, the right end
    print(f"{kind:8} peak with {top.limit:3} slots: {top.per_s:5.0f} requests/s;", end=" ")
    print(f"with {last.limit} slots: {last.per_s * last.cpu_ms / 1000:.2f} s of CPU time per second")

# %% [markdown]
# `fake`, `session` and `kept` pass their peak here, and after it, one processor is fully used. (Python's threads share one processor too, because of the
# GIL.) The throughput of `real` still rises at the right end. The peak depends on the client, the processor and the server time. Measure the peak on your
# machine with `supalab costs throughput`. *Well below* the peak, the throughput is about limit / server time for every client, and you choose the limit by
# arithmetic.

# %% [markdown]
# ## How many slots do you need?
#
# Your service sends 60 requests per second, and the backend takes 0.15 s for each. By Little's law, 60 × 0.15 = 9 requests are in flight on average. A
# limit of 9 is just enough. A limit of 100 would not be faster.
#
# ## Exercise 09a · Choose the limit
#
# Write `limit_for`. It returns the smallest limit that reaches a throughput at a given server time. The check runs our client with your limit and with one
# slot fewer. Your limit should reach the rate; one slot fewer should not. (`math.ceil` can return one too many for floats, as for 70 × 0.1. You may ignore
# this.)
#
# | requests per second | server time (`latency`) | limit |
# |---|---|---|
# | 10 | 0.25 s | 3 |
# | 45 | 0.1 s | 5 |
# | 2 | 0.1 s | 1 |
# | 60 | 0.15 s | 9 |


# %% exercise 09a
# hint: Use Little's law: in flight = throughput x time. The limit must allow what you want in flight.
# hint: math.ceil(per_s * latency): the requests in flight on average, rounded up.
# whole_float: The number is whole, but its type is float: int(…) makes it a whole number.
# half: The limit is a whole number, because there are no half slots. In which direction must you round?
# zero: With a limit of 0 no request is ever sent. One slot is the minimum.
# far: This is far more than is ever in flight. In flight = throughput x time: multiply. The latency is in seconds.
# left_over: {per_s} x {latency} is exactly {exactly}: nothing is left over, so there is nothing to add.
# busy: By arithmetic this limit is enough, so your rule is not the reason: this machine was busy. Run the check again when the machine has less to do.
# full: With a limit of {limit} and {latency} s per request, the slots are full before this rate is reached, and callers queue. If you rounded, round up.
# spare: This limit reaches the rate, but one slot fewer reaches it as well. Slots that you do not need have a cost: every slot is a connection that the server keeps open.
def limit_for(per_s: float, latency: float) -> int:
    """The smallest limit that reaches a throughput, if only the server time counts."""
    # <solution>
    return math.ceil(per_s * latency)
    # </solution>
    #: raise NotDone("how many are in flight on average, and what if that is 4.6?")


# %%
await check("09a", limit_for)

# %% [markdown]
# ## In practice
#
# - **Leave some room.** Random requests come in clusters. If the slots are *just* enough, the queue keeps growing. Take at least a third more than the law
#   says; then a quarter of the slots is free on average. If the law says fewer than four slots, take twice as many.
# - **The server has a peak too.** PostgREST has 10 database connections by default (`db-pool`). A limit far above this only moves the queue to the server.
#   Multiply by your instances: 20 instances with a limit of 10 may open 200 connections.
# - **httpx's default is 100 connections, and 20 of them may stay open.** Set both numbers.

# %% [markdown]
# ## Recap
#
# <details><summary>Throughput falls when you raise the limit. Is the server overloaded?</summary>
#
# Look at the server's counters. If far fewer requests than your limit are in flight *there*, the queue is in your own process.
# </details>
#
# <details><summary>The backend becomes twice as slow. How many slots does the same throughput need?</summary>
#
# Twice as many, because in flight = throughput × time. A limit that is just enough today is too low as soon as the backend becomes slower.
# </details>
#
# <details><summary>A colleague shows that 100 threads are faster than 100 connections of httpx. Are threads better than async?</summary>
#
# No. The comparison shows one pool beyond its peak. `real` is async too, and its throughput continues to rise.
# </details>
#
# **Next:** in [10 · In production](10_in_production.ipynb) requests arrive at any time, and callers give up.
