# The source of 10_in_production.ipynb; rebuild with: python -m supalab.course.build

# %% [markdown]
# # 10 · In production
#
# **16 minutes.** You put a whole service under load and see how its client affects its callers, on good days and on bad days.
#
# - **You will** load a service with open-loop load; read its capacity; find out which client keeps working for cancelled callers; set a limit and a deadline.
# - **You need** notebooks [05](05_step_3_the_context_manager.ipynb) and [09](09_find_the_peak.ipynb), or: in flight = throughput × time, and
#   a thread cannot be cancelled.

# %%
from supalab import recorded
from supalab.course import charts, check, predict, put_under_load, start_lab

lab = start_lab(latency=0.15)

# %% [markdown]
# ## A burst is not a service
#
# So far we have sent a burst and waited. In production, requests arrive at their own rate, whether the service is fast or slow. This is an
# [**open-loop load**](glossary.md#open-loop-load).
#
# Our service is a small web service written with FastAPI, the article's *contest-agent*. It runs in its own process. For each caller it sends one request to
# its backend, the lab. It creates its client once, in FastAPI's `lifespan`:
#
# ```python
# @asynccontextmanager
# async def lifespan(app):
#     async with SupabaseAsync(url, key, limit=10) as db:  # created on the loop, closed on the loop
#         app.state.db = db
#         yield
#
# app = FastAPI(lifespan=lifespan)
#
# @app.get("/contests/{number}")
# async def contest(number: int):
#     return await app.state.db.select("contests", filters={"id": number}, single=True)
# ```
#
# The **response time** counts from the moment when a request was *meant* to be sent. If the load generator is late, its delay counts as waiting too.

# %% [markdown]
# ## Predict
#
# 25 requests per second arrive at random times, for 2.5 seconds. The client is `fake-3` and the lab takes 0.15 s, so 3 threads complete at most
# 3 / 0.15 = 20 requests per second. What will the [**p95**](glossary.md#p95) be, the time within which 95 % of the callers have their response?

# %%
guess = predict("p95 on fake-3 at 25 requests/s", None)
guess

# %% [markdown]
# (About 5 seconds.)

# %%
fake_3 = await put_under_load("fake-3", lab, rate=25, seconds=2.5)
print(guess.compare(fake_3["response_p95_s"]))

# %% [markdown]
# Now use ten slots and the same arrivals: first with threads (the fair control), then with the real client. (10 seconds.)

# %%
fake_10 = await put_under_load("fake-10", lab, rate=25, seconds=2.5)
real_10 = await put_under_load("real-10", lab, rate=25, seconds=2.5)

# %%
charts.responses([fake_3, fake_10, real_10], guesses={"fake-3": guess.value})

# %% [markdown]
# **fake-3:** five more requests per second arrive than can be served. The queue grows as long as the load lasts. The right panel shows that the lab
# never sees more than three requests: the queue is inside the service.
#
# **fake-10 and real-10:** 25 × 0.15 = 3.75 requests are in flight on average, and ten slots have room for them. On a quiet
# machine the callers see no difference between threads and async.

# %% [markdown]
# ## Capacity
#
# We define [**capacity**](glossary.md#capacity) as the highest arrival rate at which the p95 stays below twice the idle response time. Three threads complete
# at most 20 requests per second. Is this their capacity? (Recorded with `supalab capacity`.)

# %%
capacity = recorded("capacity")
capacity.figure()

# %% [markdown]
# Their capacity is lower, as the chart shows. How busy are the slots at this lower rate? The record has a row for each load. The table below also has an
# *ideal queue*: the same arrivals and the same number of slots, where each request occupies a slot for the arm's idle response time.

# %%
rows = capacity.rows
idle = rows[rows.rate.isna()].set_index("arm").response_p50_s  # one caller, no queue
fast = rows[rows.response_p95_s < 2 * rows.arm.map(idle)]
best = fast.sort_values("rate").groupby("arm", sort=False).last()
for arm, busy in (best.rate * idle / best.limit).items():
    print(f"{arm:11} {best.rate[arm]:5.1f}/s, its slots {busy:.0%} busy")
capacity.table()[0]

# %% [markdown]
# Random requests come in clusters. With 3 slots most clusters queue, although the slots are often free. With 10 slots they rarely queue. Where the service
# matches the ideal queue, its capacity is explained by the number of slots alone, not by threads or async.

# %% [markdown]
# ## Three bad days
#
# On a good day ten threads are as good as ten connections. Now look at three bad days, recorded by `supalab faults`: the backend takes 2 s; the backend
# answers 503; a flood of clients disconnects after 50 ms. Which client suffers most, and from what?

# %%
faults = recorded("faults")
faults.figure()

# %% [markdown]
# **The slow backend.** The timeout is 1 s and the backend needs 2 s, so nearly every request fails with every client. The difference appears *afterwards*.
# At 5 requests per second and 1 s each, 5 slots are busy. Ten slots have room for this. `fake-3` needs most of a second to recover: its queue must become
# empty, and its threads finish requests whose callers have already timed out. (Is this caused by threads, or by the limit of three? Without a `real-3` we
# cannot say.)
#
# **The failing backend.** A quick 503 occupies no slot, so every arm recovers as soon as the backend does.
#
# **The flood of clients.** Which client keeps working for cancelled callers? The witness counted this. *Wasted work* counts responses of the backend that
# reached no caller. *Client gone* counts requests whose client had closed the connection by then.

# %%
faults.table()[2]

# %% [markdown]
# `fake-3` and `fake-10` keep working. For them *client gone* is 0, because a thread finishes what it has started. (Other cancelled requests were still in
# the client's queue.) `real` disconnects immediately, so its slot is free for the next request. Therefore even *more* requests reach a backend that does not
# notice disconnects. Cancelling helps the service; the backend must stop by itself.
#
# And `article-10`? Its queue is inside httpx's pool, and callers that are cancelled there can break the pool permanently
# ([httpcore's issue 1093](https://github.com/encode/httpcore/issues/1093)). In the chart it had not recovered 12 s later. This is why our client has a gate.

# %% [markdown]
# ## Exercise 10a · Set limit and deadline
#
# Your service uses `real`. 40 requests per second arrive, and the backend takes 0.15 s. Then the backend becomes slow and takes 2 s. Choose the
# client's `limit` and its `timeout` in seconds, so that both rows hold. The service itself gives up after 1.2 × `timeout` and returns 503 or 504. (The check
# needs 8 seconds.)
#
# | what the check looks at | target |
# |---|---|
# | normal load: p95 | under 0.3 s (twice the idle time) under sustained load, so the limit must be above 40 × 0.15 = 6; a failed request counts as infinitely slow |
# | slow backend: a response, even if it is 503 or 504 | within 1 s |

# %% exercise 10a
# hint: The limit: Little's law gives the mean number in flight under normal load; leave room above it. The timeout: the service may take 1.2 times as long.
# hint: 40 x 0.15 = 6 in flight: a limit of 10 leaves room. With a timeout of 0.7 s the service responds within 0.84 s.
# limit_and_timeout: limit is a whole number of slots, from 1; timeout is a number of seconds above 0.
# too_few: {law}: with {limit} slots the queue only grows.
# always_busy: {law}: all {limit} slots are always busy, and a queue never becomes empty.
# gave_up: The service gave up on requests that the backend was about to answer. The timeout is too short for it.
# clusters: Some requests waited long for a slot. Leave some room above the average, because requests come in clusters.
# milliseconds: Did you mean milliseconds? The timeout is in seconds: write {seconds} for {timeout} ms.
# to_say_no: With a timeout of {timeout} s the service may take {gives_up} s to refuse. After a quick refusal callers can do something else.
# busy: Something else kept this machine busy, so the times above say little. Run the check once more.
# <solution>
chosen = {"limit": 10, "timeout": 0.7}
# </solution>
#: chosen = {"limit": ..., "timeout": ...}

# %%
await check("10a", chosen)

# %% [markdown]
# The check also shows the most requests in flight at the slow backend. This number has no target. With ten slots it is more than ten, and with a thousand
# slots it is about the same: a request that you give up frees *your* slot, and the backend continues to work on it. A deadline protects your callers and not
# your backend. The limit protects the backend, as long as no caller gives up.

# %% [markdown]
# ## In practice
#
# - **Measure with open-loop load.** A load generator that waits for each response slows down together with the service and reports good numbers. This is
#   [**coordinated omission**](glossary.md#coordinated-omission). `supalab load` does not wait.
# - **Put your deadlines in order.** The client's deadline is the shortest, then the service's, then the caller's. Otherwise the reason for a failure is lost.

# %% [markdown]
# ## Recap
#
# <details><summary>A service handles 40 requests per second with a p95 of 0.2 s. Does it handle 80 with a p95 of 0.4 s?</summary>
#
# Only if it has enough slots. If more requests arrive than the slots can serve, the queue grows as long as they arrive.
# </details>
#
# <details><summary>You double the threads from 10 to 20. Is this as good as async?</summary>
#
# For capacity, yes. But no slot becomes free when its caller gives up, and a thousand requests in flight need a thousand threads.
# </details>
#
# <details><summary>Why is a very long timeout bad for callers?</summary>
#
# They give up anyway. Until the timeout expires, each lost request occupies a slot that another request could use.
# </details>
#
# **Next:** in [11 · The claims on trial](11_the_claims_on_trial.ipynb) you test the article's whole table.
