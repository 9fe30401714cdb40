# The source of 08_what_earned_it.ipynb; rebuild with: python -m supalab.course.build

# %% [markdown]
# # 08 · What earned it
#
# **11 minutes.** You take the step from "before" to "after" apart, one factor at a time, and find out what each of them earned.
#
# - **You will** guess the order of four factors, then measure it; tell a gain from noise; see one factor change its worth with the link.
# - **You need** notebook [07](07_side_by_side.ipynb), or to know the arms `fake-3` and `article-10`.

# %%
from statistics import median

from supalab.course import NotDone, check, predict, sized, start_lab
from supalab.course.factors import in_rounds
from supalab.course.factors_picture import what_earned
from supalab.course.recorded import recorded
from supalab.figures import by_link, waterfall
from supalab.measure.explain import EXPLANATION

lab = start_lab(latency=0.05)
rounds = sized(5, at_least=3)

# %% [markdown]
# ## One step, four changes
#
# A team migrates, and the batch is three times as fast. Everybody credits async. But other things changed on that day.
# They are [**confounders**](glossary.md#confounder): a comparison of the two ends cannot tell them apart.
#
# The cure is patience: walk from one end to the other in steps that change *one* thing.
#
# | arm | what changed from the arm above |
# |---|---|
# | `fake-3` | (the article's "before") |
# | `fake-10` | `limit`: 10 threads in place of 3 |
# | `fake-10` | nothing; it runs once more |
# | `session-10` | `reuse`: one shared `requests.Session` |
# | `httpx-threads-10` | `library`: httpx in place of requests, still in threads |
# | `article-10` | `async`: same library, same pool, no threads |
#
# Why does one arm run twice? A step that changes nothing earns nothing; what we measure is [**noise**](glossary.md#noise).
#
# One step is not clean: httpx comes with the article's setting, to keep 5 of 10 connections.

# %% [markdown]
# ## Predict
#
# The whole step, from `fake-3` to `article-10`, is 100 %. How much of it does each factor earn? Put numbers in place of `None`,
# all or some.

# %%
guesses = {
    "limit": predict("10 threads in place of 3", None, unit="% of the whole"),
    "reuse": predict("one shared Session", None, unit="% of the whole"),
    "library": predict("httpx in place of requests", None, unit="% of the whole"),
    "async": predict("async in place of threads", None, unit="% of the whole"),
}

# %% [markdown]
# ## Take turns
#
# Run one arm five times, then the next, and a backup that starts half-way would look like a slow client. So all arms run once: a
# [**round**](glossary.md#round). Then all again, each time another one first. Differences are taken only *within* a round. (About 8 seconds.)

# %%
CHAIN = ("fake-3", "fake-10", "fake-10", "session-10", "httpx-threads-10", "article-10")
found = await in_rounds(lab, CHAIN, requests=20, rounds=rounds)

# %%
what_earned(found, guesses=guesses)

# %%
for step in sorted(found.steps, key=lambda step: step.earned.middle, reverse=True):
    print(step)

# %% [markdown]
# One factor earned about all of it, and arithmetic says why: 20 requests go in 7 waves of three (in 01: rounds), or in 2 of
# ten: five waves of 0.05 s are saved. No other factor changes their number. (More than 100 %? Then others lost some.)
#
# The pale band is what *nothing* earns. A bar that does not leave it is not "a small gain": it cannot be told
# from noise. From threads to async, with httpx on both sides, expect no gain here; it may even lose. Async has other merits (notebooks
# [05](05_step_3_the_context_manager.ipynb), [10](10_in_production.ipynb)).

# %% [markdown]
# ## When is it more than noise?
#
# The differences, round by round:

# %%
for step in found.steps:
    print(f"{step.change:34}", *(f"{1000 * seconds:+7.1f}" for seconds in step.each), "ms")

# %% [markdown]
# A simple rule: if every round says the same sign, believe it. Five tosses of a coin fall alike in 2 of 32 cases, so where there is nothing, the rule
# errs once in sixteen; with three rounds, once in four. The picture is stricter: a gain must also be larger than what `fake-10` earns
# beside itself. A row of one sign may still fail that.
#
# ## Exercise 08a · Say what a step earned
#
# You get two lists of trials: `before[0]` and `after[0]` ran in the same round. A trial's seconds are its `makespan_s`. Return the median
# of what the step earned, the lowest, the highest, and whether the simple rule tells it from noise: whether 0 lies outside the spread.
#
# | seconds before | after | it returns |
# |---|---|---|
# | 0.50, 0.52, 0.51 | 0.20, 0.21, 0.22 | 0.30, 0.29, 0.31, True |
# | 0.50, 0.60, 0.70 | 0.40, 0.51, 0.59 | 0.10, 0.09, 0.11, True |
# | 0.20, 0.21, 0.20 | 0.21, 0.20, 0.20 | 0.00, −0.01, 0.01, False |


# %% exercise 08a
def earned(before, after):
    """Seconds that a step earned: median, lowest, highest; and whether it can be told from noise."""
    # <solution>
    found = [one.makespan_s - other.makespan_s for one, other in zip(before, after, strict=True)]
    told = min(found) > 0 or max(found) < 0
    return median(found), min(found), max(found), told
    # </solution>
    #: raise NotDone("first, the difference of each round")


# %%
await check("08a", earned)

# %% [markdown]
# ## The same factor on another link
#
# Reuse of connections earned little, if anything. So leave it out? The lab is on this machine, where connecting is cheap.
# Put it far away: 40 ms for a round trip, and TLS. A new connection now takes a round trip for TCP and one for TLS, *before* the
# request's own.
#
# A first wave opens the Session's connections and does not count. Then come two waves of ten: how many seconds will reuse earn in them?

# %%
far_guess = predict("reuse over TLS and 40 ms", None)
far_guess

# %% [markdown]
# The same pair over that link, and the article's client. (About 6 seconds.)

# %%
FAR = ("fake-10", "session-10", "article-10")
far = await in_rounds(lab, FAR, requests=20, rounds=3, rtt=0.04, tls=True)

# %%
print(far_guess.beside(far.steps[0].earned.middle))
for name in dict.fromkeys(far.arms):
    seen = far.of(name)[0].witness
    print(f"{name:11} {seen.connections} connections for {seen.served} requests, with the wave before")
what_earned(far, guesses={"reuse": far_guess})

# %% [markdown]
# Two round trips of 40 ms, in each of two waves: 0.16 s are arithmetic, the rest is mostly the work of TLS handshakes. **A factor has no worth of
# its own; it has one under conditions.**
#
# And the article's client loses what the Session had won: it keeps 5 connections of 10, and dials again and again (notebook
# [06](06_cautions.ipynb)).

# %% [markdown]
# ## When does keeping pay?
#
# Turn the knobs: at which round trip does it matter, and from which limit on does it not? This is computed:
# nothing but round trips and latency takes time, and the first wave counts. The cell below the panel measures what your knobs say. (About 2 seconds.)

# %%
from supalab.course.knobs import at_the_lab, turn_the_link

link = turn_the_link(requests=40)
link

# %%
await at_the_lab(link, lab)

# %% [markdown]
# ## At full size
#
# `supalab explain` runs each pair in fresh processes and goes on to our client (notebook [09](09_find_the_knee.ipynb) explains those
# steps). It takes minutes, so here is a record:

# %%
recorded("explain.json", EXPLANATION, waterfall)

# %% [markdown]
# Each bar hangs where the one above it ended, and here **minus means seconds saved**. The factors should add up to
# the whole: that is the test of an [**ablation**](glossary.md#ablation) (last line of the picture). With
# three rounds, believe long bars, not slivers.
#
# On the right is CPU. Each pair ran by itself, so compare *within* a row. A step that costs no seconds may cost CPU.
#
# And here is what connections earn, link by link. Find the rows of 40 ms: what does reuse earn, and which step gives it away?

# %%
recorded("explain.json", EXPLANATION, by_link)

# %% [markdown]
# Reuse earns a lot, and the step to httpx gives it all away. But in the last row, with ten connections kept, it is back: it was not the
# library that lost it, but the setting.
#
# ## In practice
#
# - **One change for each measurement**, even if that takes an arm which never ships.
# - **Run something against itself** once. If you don't know your noise, you will report it as a gain.
# - **Measure on the link you have**, not beside your database.

# %% [markdown]
# ## Recap
#
# <details><summary>A step earned 12 ms in the median, −3 to 30 ms over five rounds. What do you report?</summary>
#
# That five rounds cannot tell it from noise. Not that it is 12 ms, and not that it is nothing.
# </details>
#
# <details><summary>Limit and reuse change together, and the batch is three times as fast on a far link. Which one earned it?</summary>
#
# You cannot say: on such a link, each could do it alone. Run the arm between, the old limit with a Session.
# </details>
#
# **Next:** [09 · Find the knee](09_find_the_knee.ipynb), where more connections give you less.
