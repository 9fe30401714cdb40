# The source of 10_in_production.ipynb; rebuild with: python -m supalab.course.build

# %% [markdown]
# # 10 · In production
#
# **12 minutes.** You put a whole service under load, and see what its client means for those who call it: on good days and on bad ones.
#
# - **You will** load a service with open arrivals; read its capacity; find out who works for the departed; set a limit and a deadline.
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
# So far we have sent a hundred requests and waited until all were done. In production people come when they like, whether the service is quick
# or not. That is an [**open** load](glossary.md#open-load). If more come than can be served, the queue grows for as long as the load lasts.
#
# Our service is named after the article's, contest-agent: FastAPI, in a process of its own, with one of our clients. Each request to it makes
# one request to the lab. **Response time** counts from the moment at which a caller *meant* to ask.

# %% [markdown]
# ## Predict
#
# 25 requests a second arrive at random, for 2.5 seconds. The client is `fake-3`, and the lab takes 0.15 s, so 3 threads serve at most 3 / 0.15 = 20
# a second. Within how many seconds do 95 % of the callers have their answer (that is [**p95**](glossary.md#p95))?

# %%
guess = predict("p95 on fake-3 at 25 requests/s", None)
guess

# %% [markdown]
# (About 5 seconds: a service has to start and to stop as well.)

# %%
fake_3 = await put_under_load("fake-3", lab, rate=25, seconds=2.5)
print(guess.beside(fake_3.load.response(95) or 10.0))

# %% [markdown]
# And now with ten slots: once with threads, which is the fair control, and once with the real client. The arrivals are the same. (10 seconds.)

# %%
fake_10 = await put_under_load("fake-10", lab, rate=25, seconds=2.5)
real_10 = await put_under_load("real-10", lab, rate=25, seconds=2.5)

# %%
responses_picture([fake_3, fake_10, real_10], guesses={"fake-3": guess.value})

# %% [markdown]
# **fake-3:** 5 a second more arrive than can be served, so each newcomer waits longer than the last. The lab's panel is full up to the
# limit; the queue is where no server sees it, inside the service.
#
# **fake-10 and real-10:** 25 × 0.15 = 3.75 are in flight on average, and ten slots have room for that. Threads or async, the callers cannot tell the
# difference.

# %% [markdown]
# ## Capacity
#
# A service's [**capacity**](glossary.md#capacity) is the highest rate at which p95 stays below twice the response time of an idle service. Finding it takes minutes,
# so it was recorded (`supalab capacity`):

# %%
capacity = result.FORM.load(shipped("data", "reference", "capacity.json"))
capacity_picture(capacity)

# %%
for arm in capacity.arms:
    rate, slots = arm.capacity or 0.0, capacity.slots(arm) or 0.0
    print(f"{arm.arm:11} {rate:5.1f} requests/s; {arm.limit:2} bare slots, computed: {slots:5.1f}")

# %% [markdown]
# "Bare slots" are no client at all: the same arrivals, first come, first served, on paper. Where a service agrees with that, its capacity is
# the *number of its slots*, and nothing else about its client matters to it.
#
# The article's own line stands below the picture. Capacity did rise with the slots. Now compare the memory: at ten in flight, the real client
# is not the lighter one.

# %% [markdown]
# ## A bad day
#
# On a good day, as many threads do as well. So each service gets three bad ones (recorded by `supalab faults`): the backend takes 2 s; it answers
# 503; a crowd comes and hangs up after 50 ms, like people who reload a page. Who do you expect to suffer most, and from what?

# %%
faults = faults_result.FORM.load(shipped("data", "reference", "faults.json"))
recovery_picture(faults)

# %% [markdown]
# **The slow spell.** A client's timeout is 1 s here, the backend needs 2 s: nearly everybody who comes is lost, with any client. The
# difference comes *after* it. A thread works on for its departed caller, and with three threads, those who come next find all slots taken by
# ghosts. At 5 requests a second of 2 s each, ten threads just suffice to hide it.
#
# **The failing backend.** A quick 503 fills no slot. All of them are well again when the backend is.
#
# **The crowd.** Who works for the departed? Ask the witness:

# %%
for arm in faults.arms:
    spell = faults.find(arm, "left")
    print(
        f"{arm:11} {spell.left} left; the backend made {spell.for_nobody} answers for nobody, "
        f"and was told of {spell.abandoned}"
    )

# %% [markdown]
# Threads tell nobody; each sees its request through. `real` hangs up at once. That frees its slot for the next, so even *more* requests reach
# a backend that does not look. Cancelling helps the service; it helps the backend only if that stops when it is told.
#
# And `article-10`? Its queue is inside httpx's pool, and callers who are cancelled there can break that for good (issue 1093 of `httpcore`).
# See in the picture whether it came back. This is why our client has a gate.

# %% [markdown]
# ## Exercise 10a · Set limit and deadline
#
# Your service runs on `real`. 40 requests a second arrive, and the backend takes 0.15 s; then it has a slow spell and takes 2 s. Choose the
# client's `limit` and `timeout` (seconds). The service answers within 1.2 times the timeout, if only with 503 or 504. The check starts it
# and needs about 8 seconds.
#
# | looked at | target |
# |---|---|
# | fair weather: p95 | under 0.5 s; a lost request counts as never answered |
# | slow spell: an answer, if only 503 or 504 | within 1 s |

# %% exercise 10a
# <solution>
chosen = {"limit": 10, "timeout": 0.7}
# </solution>
#: chosen = {"limit": ..., "timeout": ...}

# %%
await check("10a", chosen)

# %% [markdown]
# The check reports a third number, without a target: how many requests the slow backend had at once. With a short timeout it is more than your
# limit. A request that you give up frees *your* slot; the backend works on. A deadline protects your callers, not your backend.

# %% [markdown]
# ## In practice
#
# - **Measure with open arrivals.** A load generator that waits for each answer slows down with the service, and reports that all is well:
#   [**coordinated omission**](glossary.md#coordinated-omission). `supalab load URL --rate 40` does not wait.
# - **Nest your deadlines.** The client's first, then the service's, then the caller's, each a little longer. Otherwise the wrong one gives up
#   first, and the reason is lost.
# - **Say no soon.** An answer after 30 s is made for somebody who has left.
# - **Cloud Run sends SIGTERM and grants 10 seconds.** A thread that waits for a slow backend does not hear it.

# %% [markdown]
# ## Recap
#
# <details><summary>A service takes 40 requests a second at p95 = 0.2 s. Does it take 80 at 0.4 s?</summary>
#
# It depends on its slots, and there is hardly an in-between: below capacity the response time stays nearly as it was, beyond it, the queue grows
# for as long as the load lasts. There is no 0.4 s to stop at.
# </details>
#
# <details><summary>You double the threads from 10 to 20. Is that as good as going async?</summary>
#
# For capacity, yes. You don't get slots that are free when a caller leaves, nor a thousand in flight without a thousand threads.
# </details>
#
# <details><summary>Why is a very long timeout no kindness?</summary>
#
# Callers leave anyway. Until the timeout strikes, each lost request holds a slot that somebody else could use.
# </details>
#
# **Next:** [11 · The claims on trial](11_the_claims_on_trial.ipynb), where an article's whole table goes to court.
