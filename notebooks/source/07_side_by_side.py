# The source of 07_side_by_side.ipynb; rebuild with: python -m supalab.course.build

# %% [markdown]
# # 07 · Side by side
#
# **15 minutes.** You run the article's experiment on this machine and compare every number of its table with yours.
#
# - **You will** race five clients in fresh processes; explain the length of each bar; find the arms that isolate one effect.
# - **You need** notebook [01](01_see_the_ceiling.ipynb), or to know that throughput × time = requests in flight.

# %%
import pandas as pd

from supalab import Workload, race
from supalab.course import charts, check, live_view, predict, sized, start_lab

lab = start_lab(latency=0.15)
n = sized(40, at_least=20)  # 40 requests, or fewer on a small machine

# %% [markdown]
# ## Somebody shows you a table
#
# Was the migration worth a week of work? An article, "From ThreadPoolExecutor to httpx AsyncClient", gives this answer:
#
# | metric | ThreadPoolExecutor(3) | httpx(10) |
# |---|---|---|
# | max concurrent | 3 requests | 10 requests |
# | average response | 450 ms | 150 ms |
# | memory | 250 MB | 180 MB |
# | throughput | 6.7 req/s | 20 req/s |
# | 100 concurrent requests | 15 s | 5 s |
#
# Suppose all of this is true. Two columns still cannot show *why*: the kind of client, the limit and the library changed
# together.

# %% [markdown]
# ## Five arms
#
# So we run these arms, from the article's "before" to our own client:
#
# | arm | what it is |
# |---|---|
# | `fake-3` | the article's "before": `requests.get` in 3 threads |
# | `fake-10` | the same in 10 threads: the [**fair control**](glossary.md#fair-control) |
# | `session-10` | 10 threads that share one `requests.Session` |
# | `article-10` | the article's "after", as published: httpx without threads |
# | `real-10` | the client at the end of this course, also without threads |
#
# Each arm runs in a fresh process that has loaded only its own client. Otherwise you cannot compare memory. (Sharing a Session between threads is safe here
# because our client has no cookies. In your code, use one Session per thread.)

# %% [markdown]
# ## Predict
#
# We send `n` requests: 40, or fewer on a small machine. The server takes 0.15 s for each. How many seconds will `fake-3` take, and `article-10`? How large
# is `article-10`'s process, if `fake-3`'s is 100 %? (In the article it is 72 %.) Replace `None` with numbers, or leave them.

# %%
before = predict(f"{n} requests through fake-3", None)
after = predict(f"{n} requests through article-10", None)
memory = predict("the memory of article-10's process", None, unit="% of fake-3's")
print(before, after, memory, sep="\n")

# %% [markdown]
# ## Run, and watch
#
# Each row fills while its arm runs: it shows the requests that the lab has in flight. (About 10 seconds. Half of this time is for starting processes. A row
# is empty until its process has started.)

# %%
ARMS = ("fake-3", "fake-10", "session-10", "article-10", "real-10")
trials = race(ARMS, Workload(n, 0.15), lab=lab, progress=live_view(lab))

# %%
charts.side_by_side(trials, arms=ARMS, guesses={"fake-3": before.value, "article-10": after.value})

# %%
print(trials)
print(before.compare(trials.of("fake-3")[0].makespan_s))
print(after.compare(trials.of("article-10")[0].makespan_s))

# %% [markdown]
# ## The first column: the same area
#
# One shape is long and low, four are short and high, and all five have the same area: requests × 0.15 s. This area is the server's work, and no client
# makes it smaller. The four arms with a limit of 10 finish close together, with threads or without. If `article-10` finishes later on your
# machine, its higher CPU time is the reason; see the table.
#
# ## The second column: the same server
#
# Compare the solid parts, the [**service time**](glossary.md#service-time). They hardly differ, because the server takes 0.15 s for every client. The
# striped part is the **queue time**. It shrinks from `fake-3` to `fake-10`. The queue became shorter; no single response became faster.
#
# ## The third column: memory
#
# The bars show what each client added. They are small compared with what the process needs for its libraries:

# %%
for trial in trials.trials:
    base, added = trial["base_bytes"] / 1e6, trial["added_bytes"] / 1e6
    print(f"{trial.arm:11} {base:5.1f} MB loaded, then + {added:.1f} MB")
whole = {trial.arm: trial["base_bytes"] + trial["added_bytes"] for trial in trials.trials}
print(memory.compare(100 * whole["article-10"] / whole["fake-3"]))

# %% [markdown]
# With ten requests in flight, libraries need more memory than threads do. (With *many* requests in flight this changes; run `supalab costs memory`.)
#
# ## In the table: connections
#
# httpx can reuse connections. But `article-10` opened about as many connections as `fake-10`. The article lets five of ten connections stay open, and while
# more than five are open, httpx closes each connection that becomes idle (notebook [06](06_cautions.ipynb)). You need this for the exercise.

# %% [markdown]
# ## Compare with the article
#
# `trials.rows` is a pandas DataFrame with one row for each run and one column for each number. Seconds depend on the machine, so we compare ratios: "after"
# divided by "before". The last column divides by the fair control, `fake-10`. In a burst of 15 s, callers wait for seconds, so 450 ms cannot
# include queueing. Therefore we compare the article's "average response" with our *service time*.

# %%
rows = trials.rows.assign(memory=trials.rows.base_bytes + trials.rows.added_bytes).set_index("arm")
article = pd.Series(
    {"peak": 10 / 3, "service_mean_s": 150 / 450, "per_s": 20 / 6.7, "makespan_s": 5 / 15, "memory": 180 / 250}
)
ours = rows[article.index]  # most in flight, service time, throughput, total time, memory
here, control = (ours.loc["article-10"] / ours.loc[before] for before in ("fake-3", "fake-10"))
pd.DataFrame({"the article": article, "here": here, "fair control": control}).astype(float).round(2)

# %% [markdown]
# A ratio of 1 means that nothing changed. Read the two right columns together:
#
# - **In flight, throughput, total time** (`peak`, `per_s`, `makespan_s`)**:** the article's factor of about three appears here too, or most of it. Compared
#   with the control, the gain disappears, or it becomes a loss. The limit made the difference; `max_workers=10` would have saved as much.
# - **Service time** (`service_mean_s`)**:** in the article it falls to a third. Here it does not, because the server takes as long as before.
# - **Memory:** in the article it falls. Here it rises, in both columns.
#
# You can use this table for your own questions: `rows.cpu_ms` is the CPU time per request in milliseconds, `rows.connections` the number of connections, and
# `list(rows)` names them all.

# %% [markdown]
# ## One row does not fit
#
# Why would *responses* be three times as fast? Little's law tells you how many requests were in flight, from the article's own
# [throughput](glossary.md#throughput) and response time:

# %%
for column, per_s, seconds in (("before", 6.7, 0.45), ("after", 20, 0.15)):
    print(f"{column:6}: {per_s:g}/s x {seconds:g} s = {per_s * seconds:.1f} in flight")

# %% [markdown]
# The result is three in both columns, where the article says three and ten. With ten requests in flight and 0.15 s for each, the rate would be 67 requests
# per second, and 100 requests would take 1.5 s, not 5 s. So the numbers in the column "httpx(10)" cannot all come from one [burst](glossary.md#burst)
# through ten slots. Was something else faster, for example connection reuse over a slow network? [Notebook 11](11_the_claims_on_trial.ipynb) investigates.

# %% [markdown]
# ## Exercise 07a · Explain each bar
#
# Three properties can differ between two of these arms: the limit, the reuse of connections, and threads or async. For each property, name two arms. They
# must differ in this property and be alike in the other two. You may fill in one pair and check it. The check runs your arms and counts:
#
# | effect | in flight | connections | threads |
# |---|---|---|---|
# | `"limit"` | **3 and 10** | alike | alike |
# | `"reuse"` | alike | **one per request, and few** | alike |
# | `"async"` | alike | alike | **some, and none** |
#
# (*Alike* means: both arms have some threads, or both have none; both open one connection per request, or both open few.)
#
# One difference is not in this table: the arms without threads do not use `requests` either. Notebook [08](08_what_made_it_faster.ipynb) separates the two.

# %% exercise 07a
# hint: Look at in flight and connections in the table. For each effect, find two arms that agree in all columns but one. How many connections did the article's client open?
# hint: The limit: two fake arms. Reuse: ten threads with and without a Session. Threads or async: ten in flight and ten connections in both, and threads in only one of them.
# keys: The keys are {keys}, and each has a pair of arms.
# open: The pair for {effect} is still missing. The check has tried what you filled in.
# two_names: Give two names of arms, such as ("fake-3", "real-10"), that differ only in this property.
# no_arm: Of the five, no arm is called {name!r}: choose from {arms}.
# itself: {one} compared with itself shows only the noise. Which arm differs from it in one thing?
# nothing_differs: The lab can count no difference between {one} and {other}. Which two differ in {effect}?
# another_differs: {one} and {other} do not differ in {effect}. They differ in {instead}.
# also_differs: {one} and {other} differ in {effect}, but also in {also}. If one of the two arms is faster, you cannot tell which change did it.
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
# - **When you see such a table, ask for the control.** Which rows would be the same if only the limit had changed?
# - **A burst is not your traffic.** If you never have more than three requests to send at once, a limit of 10 does not help you.
# - **In a terminal,** `supalab race --arms fake-3,fake-10,session-10,article-10,real-10` runs this experiment.

# %% [markdown]
# ## Recap
#
# <details><summary>A colleague says: "We removed the threads, and our batch takes a third of the time." What do you ask?</summary>
#
# How many requests were in flight before, and how many now? If it is three times as many, ask for the control: the old client with the new limit.
# </details>
#
# <details><summary>Which of the five would you choose for 10 requests in flight, if this race were all you knew?</summary>
#
# An arm with a limit of 10. Choose among those four by connections and CPU time. The table says nothing about callers who give up; notebook
# <a href="05_step_3_the_context_manager.ipynb">05</a> was about them.
# </details>
#
# **Next:** in [08 · What made it faster](08_what_made_it_faster.ipynb) you measure each change by itself.
