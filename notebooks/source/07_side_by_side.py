# The source of 07_side_by_side.ipynb; rebuild with: python -m supalab.course.build

# %% [markdown]
# # 07 · Side by side
#
# **10 minutes.** You run the article's own experiment on this machine and put every figure of its table beside yours.
#
# - **You will** race five clients in fresh processes; say what makes each bar as long as it is; find the arms that isolate one effect.
# - **You need** notebook [01](01_see_the_ceiling.ipynb), or to know that throughput × time = in flight.

# %%
from supalab import Workload, race
from supalab.course import check, live_view, predict, sized, start_lab
from supalab.course.beside import beside_the_article
from supalab.figures import side_by_side
from supalab.measure import table
from supalab.measure.littles_law import in_flight

lab = start_lab(latency=0.15)
n = sized(40, at_least=20)

# %% [markdown]
# ## Somebody shows you a table
#
# Was the migration worth the week? An article, "From ThreadPoolExecutor to httpx AsyncClient", has this answer:
#
# | metric | ThreadPoolExecutor(3) | httpx(10) |
# |---|---|---|
# | max concurrent | 3 requests | 10 requests |
# | average response | 450 ms | 150 ms |
# | memory | 250 MB | 180 MB |
# | throughput | 6.7 req/s | 20 req/s |
# | 100 concurrent requests | 15 s | 5 s |
#
# It may all be true. But two columns cannot tell *why*: the kind of client changed, and so did the limit and the library.

# %% [markdown]
# ## Five arms
#
# So we run the two ends and what lies between:
#
# | arm | what it is |
# |---|---|
# | `fake-3` | the article's "before": `requests.get` in 3 threads |
# | `fake-10` | the same in 10 threads: the [**fair control**](glossary.md#fair-control) |
# | `session-10` | 10 threads that share one `requests.Session` |
# | `article-10` | the article's "after", as printed: httpx, no threads |
# | `real-10` | the client at the end of this course: no threads either |
#
# Each runs in a fresh process that has loaded nothing but its client. Memory cannot be compared otherwise.

# %% [markdown]
# ## Predict
#
# We send fewer than a hundred requests, each 0.15 s at the server. How many seconds will `fake-3` take, and `article-10`? And how large is
# `article-10`'s process, if `fake-3`'s is 100 %? (In the article it is 72 %.) Put numbers in place of `None`, or leave them.

# %%
before = predict(f"{n} requests through fake-3", None)
after = predict(f"{n} requests through article-10", None)
memory = predict("the memory of article-10's process", None, unit="% of fake-3's")
print(before, after, memory, sep="\n")

# %% [markdown]
# ## Run, and watch
#
# Each row fills while its arm runs; every bar is a request, counted by the lab. (About 10 seconds, half of it for
# starting processes: then a row is still empty.)

# %%
ARMS = ("fake-3", "fake-10", "session-10", "article-10", "real-10")
trials = race(ARMS, Workload(n, 0.15), lab=lab, progress=live_view(lab))

# %%
side_by_side(trials, arms=ARMS, guesses={"fake-3": before.value, "article-10": after.value})

# %%
table.show(trials)
print()
print(before.beside(trials.of("fake-3")[0].makespan_s))
print(after.beside(trials.of("article-10")[0].makespan_s))

# %% [markdown]
# ## The first column: the same area
#
# One shape is long and low, four are short and high, and all five have the same area: requests × 0.15 s. That is the work, and no client makes
# it less. The four with a limit of 10, in threads or not, end close together. (Does `article-10` lag behind? On a busy machine it pays for its
# CPU, in the table.)
#
# ## The second column: the same server
#
# Compare the solid parts, the [**service**](glossary.md#service). They hardly differ: the server takes 0.15 s, whoever asks. What shrinks from
# `fake-3` to `fake-10` is the hatched part, the **wait**. The queue became shorter; no answer came faster.
#
# ## The third column: what a client weighs
#
# The bars are small, and they stand on something that the picture leaves out: what the process weighs with its libraries loaded.

# %%
for trial in trials:
    base, added = trial.memory.base_bytes / 1e6, trial.memory.added_bytes / 1e6
    print(f"{trial.arm:11} {base:5.1f} MB loaded, then + {added:.1f} MB")
whole = {trial.arm: trial.memory.peak_bytes for trial in trials}
print(memory.beside(100 * whole["article-10"] / whole["fake-3"]))

# %% [markdown]
# At ten in flight, libraries outweigh threads: more code is more memory. (Not with *many* in flight: `supalab costs memory`.)
#
# ## And in the table: connections
#
# httpx can keep connections. Yet `article-10` opened about as many as `fake-10`: the article lets it keep five of ten, and while more than five
# are open, httpx closes each that falls idle (notebook [06](06_cautions.ipynb)). Remember it for the exercise.

# %% [markdown]
# ## Beside the article
#
# The article's table again, with ours next to it. Our seconds are not its seconds, so compare the ratios, in parentheses. The last
# column starts from the fair control. In a burst of 15 s, callers wait for seconds, so 450 ms cannot include their wait: the article's
# "average response" stands beside *being served*.

# %%
beside_the_article(trials)

# %% [markdown]
# Read the two right columns together:
#
# - **In flight, throughput, the total:** the article's factor of about three is here too, or most of it. Against the control, nothing is left, or
#   a loss: the limit made it, and `max_workers=10` would have earned as much.
# - **Being served:** the article's falls to a third. Ours does not fall: the server takes as long as before.
# - **Memory:** the article's falls. Ours rises, in both columns.

# %% [markdown]
# ## One line does not fit
#
# Why should *responses* be three times as fast? Ask Little's law how many requests were in flight, from the article's own
# [throughput](glossary.md#throughput) and response:

# %%
for column, per_s, seconds in (("before", 6.7, 0.45), ("after", 20, 0.15)):
    print(f"{column:6}: {per_s:g}/s x {seconds:g} s = {in_flight(per_s, seconds):.1f} in flight")

# %% [markdown]
# Three, both times, where the article says three and ten. Ten in flight at 0.15 s each would make 67 requests a second, and 100 of them take 1.5 s,
# not 5. So the figures of its column "httpx(10)" cannot all come from a [burst](glossary.md#burst) through ten slots. Did something else make its
# responses faster, perhaps on a longer line than ours? Keep the question; [notebook 11](11_the_claims_on_trial.ipynb) has the trial.

# %% [markdown]
# ## Exercise 07a · Explain each bar
#
# Three things can differ between two of these arms: the limit, the reuse of connections, and threads or async. For each, name two arms that
# differ in it *alone*. The check runs your arms and counts; you may fill in one pair and check it.
#
# | effect | in flight | connections | threads |
# |---|---|---|---|
# | `"limit"` | **3 and 10** | alike | alike |
# | `"reuse"` | alike | **one per request, and few** | alike |
# | `"async"` | alike | alike | **some, and none** |
#
# (*Alike*: both have some threads or none; both open one connection per request or few.)
#
# Ask this table for its control, too: whenever threads go, `requests` goes with them. Notebook
# [08](08_what_earned_it.ipynb) separates the two.

# %% exercise 07a
isolates = {
    # <solution>
    "limit": ("fake-3", "fake-10"),
    "reuse": ("fake-10", "session-10"),
    "async": ("session-10", "real-10"),
    # </solution>
    #: "limit": ...,  # ("…", "…")
    #: "reuse": ...,
    #: "async": ...,
}

# %%
await check("07a", isolates)

# %% [markdown]
# ## In practice
#
# - **Ask a table for its control.** Which row would still be there if only the limit had changed?
# - **A burst is not your traffic.** If you never have more than three requests to send, a limit of 10 is nothing to you.
# - **From a terminal:** `supalab race --arms fake-3,fake-10,session-10,article-10,real-10` is this experiment.

# %% [markdown]
# ## Recap
#
# <details><summary>A colleague says: "We left the threads, and our batch takes a third of the time." What do you ask?</summary>
#
# How many requests were in flight before, and how many now? If three times as many, ask for the control: the old client with the new limit.
# </details>
#
# <details><summary>Which of the five would you choose for 10 in flight, if this race were all you knew?</summary>
#
# One with a limit of 10; among those four, by connections and CPU. The table has nothing
# on callers who give up; that was notebook <a href="05_step_3_the_context_manager.ipynb">05</a>.
# </details>
#
# **Next:** [08 · What earned it](08_what_earned_it.ipynb), where the step is taken apart, one factor at a time.
