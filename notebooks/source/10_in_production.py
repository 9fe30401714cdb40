# The source of 10_in_production.ipynb; rebuild with: python -m supalab.course.build

# %% [markdown]
# # 10 · In production
#
# **12 minutes.** You put a whole service under load, and see what its client means for its callers, on good days and on bad ones.
#
# - **You will** load a service with open arrivals; read its capacity; find out who works on when callers have left; set a limit and a deadline.
# - **You need** notebooks [05](05_step_3_the_context_manager.ipynb) and [09](09_find_the_knee.ipynb), or: in flight = throughput × time, and
#   a thread cannot be cancelled.

# %%
from supalab.capacity import faults_result, result
from supalab.course import check, predict, start_lab
from supalab.course.responses import responses_picture
from supalab.course.service import put_under_load
from supalab.figures.capacity import capacity_picture
from supalab.figures.recovery import recovery_picture
from supalab.shipped import shipped

lab = start_lab(latency=0.15)

# %% [markdown]
# ## A burst is not a service
#
# So far we have sent a burst and waited. In production people come when they like, whether the service is quick or not: an
# [**open** load](glossary.md#open-load).
#
# Our service is the article's contest-agent: FastAPI, in a process of its own. For each caller it sends one request to its backend, the lab.
# **Response time** counts from when a caller *meant* to ask: if the load generator is late, that is waiting, too.

# %% [markdown]
# ## Predict
#
# 25 requests a second arrive at random, for 2.5 seconds. The client is `fake-3`, and the lab takes 0.15 s, so 3 threads serve at most 3 / 0.15 = 20
# a second. What will the [**p95**](glossary.md#p95) be, the seconds within which 95 % of the callers have their answer?

# %%
guess = predict("p95 on fake-3 at 25 requests/s", None)
guess

# %% [markdown]
# (About 5 seconds.)

# %%
fake_3 = await put_under_load("fake-3", lab, rate=25, seconds=2.5)
print(guess.beside(fake_3.p95_s))

# %% [markdown]
# Now ten slots, the same arrivals: threads (the fair control), then the real client. (10 seconds.)

# %%
fake_10 = await put_under_load("fake-10", lab, rate=25, seconds=2.5)
real_10 = await put_under_load("real-10", lab, rate=25, seconds=2.5)

# %%
responses_picture([fake_3, fake_10, real_10], guesses={"fake-3": guess.value})

# %% [markdown]
# **fake-3:** 5 a second more arrive than can be served, so queue and wait grow for as long as the load lasts. On the right, never more
# than three reach the lab: the queue is inside the service.
#
# **fake-10 and real-10:** 25 × 0.15 = 3.75 are in flight on average, and ten slots have room for that. Threads or async, callers cannot tell.

# %% [markdown]
# ## Capacity
#
# By [**capacity**](glossary.md#capacity) we mean the highest rate at which p95 stays below twice the idle response time.
# Three threads serve at most 20 a second. Is that their capacity? (Recorded with `supalab capacity`.)

# %%
capacity = result.FORM.load(shipped("data", "reference", "capacity.json"))
capacity_picture(capacity)

# %% [markdown]
# How busy are the slots then? And what would as many slots do *on paper*: the same arrivals, each served for the arm's idle time?

# %%
for arm in capacity.arms:
    rate, paper = arm.capacity, capacity.slots(arm)
    print(f"{arm.arm:11} {rate:5.1f}/s, its slots {rate * arm.idle_s / arm.limit:.0%} busy; on paper {paper:5.1f}/s")

# %% [markdown]
# Random callers come in clusters. Three slots make most clusters queue, though they are often free; ten take them as they come. Where a service
# agrees with the paper, the *number of its slots* makes its capacity, not threads or async.

# %% [markdown]
# ## A bad day
#
# On a good day, ten threads are as good as ten connections. Here are three bad days (recorded by `supalab faults`): the backend takes
# 2 s; it answers 503; a crowd comes and hangs up after 50 ms. Which client suffers most, and from what?

# %%
faults = faults_result.FORM.load(shipped("data", "reference", "faults.json"))
recovery_picture(faults)

# %% [markdown]
# **The slow spell.** The timeout is 1 s, the backend needs 2 s: nearly everybody is lost, with any client. The difference comes *after* it.
# 5 a second × 1 s = 5 slots are busy. Ten have room for that. At three, requests queue and begin late, threads work on when the callers have left,
# and newcomers find the slots taken by ghosts. (The threads' fault, or the three's? Without a `real-3` nobody can tell.)
#
# **The failing backend.** A quick 503 fills no slot: all are well when the backend is.
#
# **The crowd.** Who works on when callers have left? Ask the witness:

# %%
for arm in faults.arms:
    spell = faults.find(arm, "left")
    print(
        f"{arm:11} {spell.left} left; the backend made {spell.for_nobody} answers for nobody, "
        f"{spell.abandoned} of them after a hang-up"
    )

# %% [markdown]
# A thread finishes what it has begun. (The others who left were still in the client's queue.) `real` hangs up at once. Its slot is free for the
# next, so even *more* requests reach a backend that does not look. Cancelling helps the service; the backend must stop by itself.
#
# And `article-10`? Its queue is inside httpx's pool, and callers cancelled there can break the pool for good
# ([httpcore's issue 1093](https://github.com/encode/httpcore/issues/1093)). Did it come back in the picture? This is why our client has a gate.

# %% [markdown]
# ## Exercise 10a · Set limit and deadline
#
# Your service runs on `real`. 40 requests a second arrive, and the backend takes 0.15 s; then it has a slow spell and takes 2 s. Choose the
# client's `limit` and `timeout` (seconds). After 1.2 times the timeout at the latest, the service answers, if only 503 or 504. (The check needs
# 8 seconds.)
#
# | looked at | target |
# |---|---|
# | fair weather: p95 | under 0.3 s, twice the idle time, all day; a lost request counts as never answered |
# | slow spell: an answer, if only 503 or 504 | within 1 s |

# %% exercise 10a
# <solution>
chosen = {"limit": 10, "timeout": 0.7}
# </solution>
#: chosen = {"limit": ..., "timeout": ...}

# %%
await check("10a", chosen)

# %% [markdown]
# The check's third number, the most in flight at the slow backend, has no target. With ten slots it is more than ten, and about the same with a
# thousand: a request that you give up frees *your* slot, and the backend works on. A deadline protects your callers, not your backend; the limit
# does, as long as nobody gives up.

# %% [markdown]
# ## In practice
#
# - **Measure with open arrivals.** A load generator that waits for each answer slows down with the service, and reports that all is well:
#   [**coordinated omission**](glossary.md#coordinated-omission). `supalab load` does not wait.
# - **Nest your deadlines.** The client's, the service's, the caller's, each a little longer. Otherwise the reason is lost.

# %% [markdown]
# ## Recap
#
# <details><summary>A service takes 40 requests a second at p95 = 0.2 s. Does it take 80 at 0.4 s?</summary>
#
# Only if it has the slots. When more come than those can serve, the queue grows for as long as they come.
# </details>
#
# <details><summary>You double the threads from 10 to 20. Is that as good as going async?</summary>
#
# For capacity, yes. But no slot is free when its caller leaves, and a thousand in flight need a thousand threads.
# </details>
#
# <details><summary>Why is a very long timeout no kindness?</summary>
#
# Callers leave anyway. Until it strikes, each lost request holds a slot that somebody else could use.
# </details>
#
# **Next:** [11 · The claims on trial](11_the_claims_on_trial.ipynb), where an article's whole table goes to court.
