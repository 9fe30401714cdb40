# The source of 01_see_the_ceiling.ipynb; rebuild with: python -m supalab.course.build

# %% [markdown]
# # 01 · See the ceiling
#
# **10 minutes.** You find out how many requests a client really has in flight, and compute how long a burst takes before you run it.
#
# - **You will** watch a fake async client hit its ceiling; read it off the witness; predict a [makespan](glossary.md#makespan), the time from the first question to the last answer.
# - **You need** notebook [00](00_start_here.ipynb), or a rough idea of what a thread pool is.

# %%
import math

from supalab import FakeSupabaseAsync
from supalab.course import NotDone, check, observe, predict, sized, start_lab

lab = start_lab(latency=0.15)
n = sized(60, at_least=30)
print(f"{n} requests, each {lab.conditions.latency:g} s at the server")

# %% [markdown]
# ## Nothing in the code says three
#
# This is how people use the client. Every line looks concurrent: all coroutines are made, `gather` starts them all.
#
# ```python
# await asyncio.gather(*(db.select("contests") for _ in range(n)))
# ```
#
# Only the constructor knows better: `ThreadPoolExecutor(max_workers=3)`. An `await` on `run_in_executor` waits for one of three threads first,
# and for the server after that.

# %% [markdown]
# ## Predict
#
# Each of the requests takes 0.15 s, and 3 of them run at a time. How many seconds from the first question to the last answer?
# Put a number in place of `None`, or leave it: then you just watch.

# %%
guess = predict(f"{n} requests, 3 at a time", None)
guess

# %% [markdown]
# ## Run, and watch the slots
#
# Each bar is a request, counted by the lab, not by the client. An outline is a request that is still in flight. (A few seconds.)

# %%
async with FakeSupabaseAsync(lab.url, lab.key, limit=3) as db:
    fake_3 = await observe(db, lab, "fake-3", requests=n, watch=True)

# %%
print(guess.beside(fake_3.makespan_s))
print(lab.witness())

# %% [markdown]
# ## What the server saw
#
# The witness says: never more than 3 at once. That is the [**ceiling**](glossary.md#ceiling), and no number of callers lifts it. It also says how many connections
# were opened: one for each request, because `requests.get` keeps none.
#
# Now the same run from the client's side, with the queue below it. Your guess is the dashed line, if you made one.

# %%
from supalab.figures import timeline
from supalab.measure.trial import TrialSet

timeline(TrialSet((fake_3,)), guesses={"fake-3": guess.value})

# %% [markdown]
# ## Two parts of one latency
#
# A caller does not see threads. It sees how long its `await` took, and that has two parts: [**wait**](glossary.md#wait), until a thread was free, and **service**,
# from there to the answer. Look at the last request of the burst:

# %%
last = max(fake_3.answered, key=lambda span: span.latency)
print(f"wait {last.wait:.2f} s + service {last.service:.2f} s = {last.latency:.2f} s")
print(f"The server worked on it for {fake_3.workload.latency:g} s.")

# %% [markdown]
# The server is not slow, and neither is the network. The request spent nearly all of its time in a queue inside the client, where no
# server log and no database dashboard will ever show it.

# %% [markdown]
# ## Little's law
#
# Of throughput, time and requests [in flight](glossary.md#in-flight), any two give the third:
#
# > **in flight = throughput × time**
#
# It holds for the averages over a whole run, whatever happens inside, if the system starts and ends empty. So it checks what a client says of
# itself: take its own throughput and mean service time, and compare the product with what the lab counted.

# %%
from supalab.measure.littles_law import in_flight, mean_in_flight

served = sum(span.service for span in fake_3.answered) / len(fake_3.answered)
said = in_flight(fake_3.throughput_per_s, served)
print(f"The client: {fake_3.throughput_per_s:.1f} requests/s x {served:.3f} s = {said:.2f} in flight")
print(f"The lab:    {mean_in_flight(fake_3):.2f} in flight on average")

# %% [markdown]
# The two nearly agree; what is left over is the client's own work before and after the server's. (Even a little more than 3 is possible: an
# answer still waits for its turn on the loop, and its thread has the next request already.) Read the law the other way round, and it gives you
# the ceiling in requests per second: at most 3 in flight, 0.15 s each, so at most 3 / 0.15 = 20 a second, whatever the callers do.

# %% [markdown]
# ## Exercise 01a · Predict the makespan
#
# Write a function that tells how long a burst takes, with any number of requests and threads and any latency. The check runs bursts that you have
# not seen, and puts what the lab measured beside it.
#
# What it should give:
#
# | requests | threads | latency | makespan |
# |---|---|---|---|
# | 100 | 3 | 0.15 s | 5.1 s |
# | 100 | 10 | 0.15 s | 1.5 s |


# %% exercise 01a
def makespan(requests: int, threads: int, latency: float) -> float:
    """Seconds from the first question to the last answer, if nothing but latency takes time."""
    # <solution>
    return math.ceil(requests / threads) * latency
    # </solution>
    #: raise NotDone("how many rounds are there, and how long is one?")


# %%
await check("01a", makespan)

# %% [markdown]
# ## Turn the knobs
#
# Your formula has a shape. **Before you run the cell, guess:** what does twice the latency do? Is a limit of one less than all better than half as
# many? What does a limit beyond the number of requests buy?
#
# Then turn *limit* and *latency* and see: drag, or type a number; <kbd>Tab</kbd> leads to the knobs, the arrow keys turn them. Below them are six
# settings worth a look. All of this is computed: nothing but latency takes time.

# %%
from supalab.course.knobs import at_the_lab, turn_the_knobs

burst = turn_the_knobs(n)
burst

# %% [markdown]
# ## And at the lab?
#
# A computation needs its control. This cell runs what your knobs say now, through the fake client, and draws it below what was computed. (It takes
# as long as the knobs say: 3 seconds as they stood.) Turn the limit up and run it again: the shorter the burst, the larger the part that is work of
# client and lab.

# %%
await at_the_lab(burst, lab)

# %% [markdown]
# ## In practice
#
# - **Find the number.** Somewhere in a fake async client there is a `max_workers`. If there is none, the default is used: the number of
#   processors plus 4, and 32 at most. `asyncio.to_thread` shares one such pool among everything on its event loop.
# - **A ceiling is not always a fault.** It protects the server from you. The real client at the end of this course has one too; it is
#   called `limit`, you can see it, and it costs no threads.
# - **Averages hide a queue.** The last caller in your picture waited about twice as long as the average one. Ask for wait and service apart.

# %% [markdown]
# ## Recap
#
# <details><summary>With 3 threads, you double the number of callers. What happens to the throughput?</summary>
#
# Nothing: it stays at 3 / latency. The queue is twice as long, so callers wait twice as long on average.
# </details>
#
# <details><summary>The server becomes twice as fast. What happens to the makespan?</summary>
#
# It halves: each round takes one latency. That is why a client's ceiling often goes unnoticed until the server has a slow day.
# </details>
#
# <details><summary>A dashboard says "average response 450 ms" and the server's log says 150 ms. Who is right?</summary>
#
# Both can be: the log has the service, the dashboard wait and service together. With the throughput, Little's law tells you how many requests stood in the queue.
# </details>
#
# **Next:** [02 · Inside the loop](02_inside_the_loop.ipynb), where you see what `await` really gives up, and to whom.
