# The source of 01_see_the_ceiling.ipynb; rebuild with: python -m supalab.course.build

# %% [markdown]
# # 01 · See the ceiling
#
# **14 minutes.** You find out how many requests a client really has in flight, and you compute the duration of a burst before you run it.
#
# - **You will** see a fake async client reach its ceiling; read the ceiling from the server's counters; predict a [makespan](glossary.md#makespan), the time from the first request to the last response.
# - **You need** notebook [00](00_start_here.ipynb), or a rough idea of what a thread pool is.

# %%
import math

from supalab import FakeSupabaseAsync
from supalab.course import NotDone, charts, check, observe, predict, sized, start_lab, turn_the_knobs

lab = start_lab(latency=0.15)
n = sized(60, at_least=30)  # 60, or fewer on a small machine
print(f"{n} requests; the server takes {lab.conditions.latency:g} s for each")

# %% [markdown]
# ## Nothing in this code says three
#
# People use the client like this. Every line looks concurrent: the calls are created together, and `gather` starts all of them.
#
# ```python
# await asyncio.gather(*(db.select("contests") for _ in range(n)))
# ```
#
# Only the constructor shows the limit: `ThreadPoolExecutor(max_workers=3)`. An `await` on `run_in_executor` first waits for one of three threads,
# and then for the server.

# %% [markdown]
# ## Predict
#
# The server takes 0.15 s for each request, and 3 requests run at a time. How many seconds pass from the first request to the last response?
# Replace `None` with a number. You can also leave it and just watch.

# %%
guess = predict(f"{n} requests, 3 at a time", None)
guess

# %% [markdown]
# ## Run, and watch
#
# The chart fills while the cell runs: it shows how many requests the lab has in flight at each moment. (A few seconds.)

# %%
async with FakeSupabaseAsync(lab.url, lab.key, limit=3) as db:  # 3 threads
    fake_3 = await observe(db, lab, "fake-3", requests=n, watch=True)

# %%
print(guess.compare(fake_3.makespan_s))
print(lab.witness())

# %% [markdown]
# ## What the server saw
#
# The witness says that there were never more than 3 requests at once. This is the [**ceiling**](glossary.md#ceiling). More callers do not raise it. The
# witness also counts one connection for each request, because `requests.get` keeps no connection open.
#
# The next chart shows the same run from the client's side, with the queue below it. If you made a guess, it is the dashed line.

# %%
charts.timeline([fake_3], guesses={"fake-3": guess.value})

# %% [markdown]
# ## Queue time and service time
#
# A caller does not see threads. It sees how long its `await` took. This time has two parts. The [**queue time**](glossary.md#queue-time) lasts until a
# thread is free. The **service time** lasts from there to the response. Look at the request of the burst that took longest:

# %%
last = max(fake_3.answered, key=lambda span: span.latency)
print(f"queue time {last.wait:.2f} s + service time {last.service:.2f} s = {last.latency:.2f} s")
print(f"The server worked on it for {fake_3.workload.latency:g} s.")

# %% [markdown]
# The server is not slow, and the network is not slow. The request spent nearly all of its time in a queue inside the client. No server log and no
# database dashboard shows this queue.

# %% [markdown]
# ## Little's law
#
# If you know two of these three averages, you can compute the third:
#
# > **requests [in flight](glossary.md#in-flight) = throughput × time per request**
#
# The law holds for any system that starts and ends empty, whatever happens inside. So you can use it to check a client: take its throughput and its
# mean service time, multiply them, and compare the product with what the lab counted.

# %%
served = sum(span.service for span in fake_3.answered) / len(fake_3.answered)
said = fake_3["per_s"] * served
print(f"The client: {fake_3['per_s']:.1f} requests/s x {served:.3f} s = {said:.2f} in flight")
# busy_s: how long the lab worked on each request, added up
print(f"The lab:    {fake_3['busy_s'] / fake_3['makespan_s']:.2f} in flight on average")

# %% [markdown]
# The two numbers are close. The difference is work that the client does before and after the server works on the request. (The client may report slightly
# more than 3: a thread can start the next request before the loop has delivered the last response.)
#
# The law also gives the ceiling as a rate. With at most 3 requests in flight and 0.15 s for each, the client completes at most 3 / 0.15 = 20
# requests per second.

# %% [markdown]
# ## Exercise 01a · Predict the makespan
#
# Write `makespan`. It returns how many seconds a burst takes, for any number of requests and threads and any server time. Count the server time only.
# The check tries bursts that you have not seen. Next to each expected value it shows what the lab measured.
#
# | requests | threads | server time (`latency`) | makespan |
# |---|---|---|---|
# | 100 | 3 | 0.15 s | 5.1 s |
# | 100 | 10 | 0.15 s | 1.5 s |


# %% exercise 01a
# hint: All threads start together and end together. Think in waves, with one request for each thread.
# hint: The number of waves is requests / threads, rounded up with math.ceil. Each wave takes `latency` seconds.
# unit: Return only the number, without a unit.
# one_by_one: This is the time of one request after another. The threads work at the same time. How many waves is that?
# idle: With fewer requests than threads, some threads stay idle. There is always at least one wave.
# waves: This looks like the number of waves. How many seconds does one wave take?
# half: The last wave is not full, but it takes as long as the others. Half a wave does not exist.
# last: The last wave is missing. It is not full, but it takes as long as the others.
# too_many: This is one wave too many: {requests} requests fill exactly {waves} waves of {limit}.
# shown: Is a number of the burst above, 3 or 0.15, still in your formula? Use threads and latency.
# count: Count the waves. Each wave takes one server time, and there are as many waves as the requests need.
def makespan(requests: int, threads: int, latency: float) -> float:
    """Seconds from the first request to the last response, if only the server time counts."""
    # <solution>
    return math.ceil(requests / threads) * latency
    # </solution>
    #: raise NotDone("how many waves are there, and how long does one wave take?")


# %%
await check("01a", makespan)

# %% [markdown]
# ## Turn the knobs
#
# **Guess before you run the cell:** what happens if the server time doubles? With n requests, is a limit of n − 1 better than n / 2? Does a limit above
# n help?
#
# Then change *limit* and *latency* (the server time). Drag a knob or type a number. The <kbd>Tab</kbd> key selects a knob, and the arrow keys change
# it. The table below the knobs has six settings to try. Everything here is computed from the server time alone.

# %%
burst = turn_the_knobs(n, limit=6)
burst

# %% [markdown]
# ## Measure what you computed
#
# The next cell runs your setting through the fake client. The dashed line, *guess*, is what you computed. (It takes as long as your setting says.) Raise the limit and
# run it again. The shorter the burst, the larger the share of the client's and the lab's own work.

# %%
yours = burst.setting
lab.set(latency=yours.latency)
async with FakeSupabaseAsync(lab.url, lab.key, limit=yours.limit) as db:
    measured = await observe(db, lab, f"fake-{yours.limit}", requests=yours.requests, watch=True)
lab.set(latency=0.15)
print(f"Computed {yours.makespan_s:.2f} s, measured {measured.makespan_s:.2f} s")
charts.timeline([measured], guesses={measured.arm: yours.makespan_s})

# %% [markdown]
# ## In practice
#
# - **Find the number.** Look for `max_workers` in a fake async client. If it is not set, the default applies: the number of processors plus 4, and at
#   most 32. All calls of `asyncio.to_thread` on one event loop share one such pool.
# - **A ceiling can be useful.** It protects the server from your client. The real client at the end of this course has one too. It is called `limit`,
#   it is visible in the constructor, and it needs no threads.
# - **Averages hide a queue.** In your chart, the last caller waited about twice as long as the average caller. Ask for queue time and service time
#   separately.

# %% [markdown]
# ## Recap
#
# <details><summary>There are 3 threads, and you double the number of callers. What happens to the throughput?</summary>
#
# It stays at 3 / server time. The queue is twice as long, so callers wait twice as long on average.
# </details>
#
# <details><summary>The server becomes twice as fast. What happens to the makespan?</summary>
#
# It halves, because each wave takes half as long. This is why people often notice a client's ceiling only when the server becomes slow.
# </details>
#
# <details><summary>A dashboard says "average response 450 ms", and the server's log says 150 ms. Which number is right?</summary>
#
# Both can be right. The log shows the server time; the dashboard shows queue time and service time together. If you know the throughput, Little's law
# tells you how many requests were in the queue.
# </details>
#
# **Next:** in [02 · Inside the loop](02_inside_the_loop.ipynb) you see when an `await` lets other code run.
