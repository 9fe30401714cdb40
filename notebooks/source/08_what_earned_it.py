# The source of 08_what_earned_it.ipynb; rebuild with: python -m supalab.course.build

# %% [markdown]
# # 08 · What earned it
#
# **10 minutes.** You take the step from "before" to "after" apart, one factor at a time, and find out what each of them earned.
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
# A team migrates, and the batch is three times as fast. Everybody credits async. But on that day more things changed, and each of them might have
# done it. What changes along with the thing you mean is a [**confounder**](glossary.md#confounder): a comparison of the two ends cannot tell them apart.
#
# The cure is patience: go from one end to the other in steps that change *one* thing each.
#
# | arm | what changed from the arm above |
# |---|---|
# | `fake-3` | (the article's "before") |
# | `fake-10` | `limit`: 10 threads in place of 3 |
# | `fake-10` | nothing; it runs once more |
# | `session-10` | `reuse`: one shared `requests.Session` |
# | `httpx-threads-10` | `library`: httpx in place of requests, still in threads; it keeps 5 connections |
# | `article-10` | `async`: same library, same pool, no threads |
#
# Why does one arm run twice? A step that changes nothing earns nothing. Whatever we measure there is [**noise**](glossary.md#noise).

# %% [markdown]
# ## Predict
#
# The whole step, from `fake-3` to `article-10`, is 100 %. How much of it does each factor earn? Put numbers from 0 in place of `None`, or
# only one, for the largest.

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
# Run one arm five times, then the next one five times, and a backup that starts half-way would look like a slow client. So all arms run once,
# then all again, each time another one first. That is a [**round**](glossary.md#round), and a difference is taken only *within* a round. (About 8 seconds.)

# %%
CHAIN = ("fake-3", "fake-10", "fake-10", "session-10", "httpx-threads-10", "article-10")
found = await in_rounds(lab, CHAIN, requests=20, rounds=rounds)

# %%
what_earned(found, guesses=guesses)

# %%
for step in sorted(found.steps, key=lambda step: step.earned.middle, reverse=True):
    print(step)

# %% [markdown]
# That is the order. One factor earned about all of it, and arithmetic says why: 20 requests go in 7 waves of three, or in 2 of ten. Five waves
# of 0.05 s are saved, and no other factor changes the number of waves.
#
# Look at the others beside the pale band, which is what *nothing* earns. A bar that does not leave it is not "a small gain" but "not to be told
# from noise": perhaps something, perhaps nothing. And async by itself earns no time in a burst of ten; it may
# even lose some, and the CPU in the recorded picture below says why. Its merits are others: notebooks
# [05](05_step_3_the_context_manager.ipynb) and [10](10_in_production.ipynb) are about those.

# %% [markdown]
# ## When is it more than noise?
#
# Here are the differences, round by round:

# %%
for step in found.steps:
    print(f"{step.change:34}", *(f"{1000 * seconds:+7.1f}" for seconds in step.each), "ms")

# %% [markdown]
# A simple rule: if every round says the same sign, believe it. Five tosses of a coin fall alike in 2 of 32 cases, so the rule errs once in sixteen
# where there is nothing. The picture is stricter: a gain must also be larger than what an arm seems to earn when compared with itself.
#
# ## Exercise 08a · Say what a step earned
#
# You get the trials of two arms; those in the same place ran in the same round. Return the median of what the step earned, the lowest, the highest,
# and whether it can be told from noise: whether 0 lies outside the spread. The check knows the truth of its trials.
#
# | `makespan_s` before | after | it returns |
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
# Reuse of connections earned next to nothing. So leave it out? The lab is on this machine, where a new connection costs next to nothing.
# Put it far away, with 40 ms for a round trip, and speak TLS. A new connection now takes a round trip for TCP and one for TLS, *before* the
# request's own.
#
# Two waves of ten requests: how many seconds will reuse earn now?

# %%
far_guess = predict("reuse over TLS and 40 ms", None)
far_guess

# %% [markdown]
# Now the same pair, and the article's client as a third, over that link. (About 6 seconds.)

# %%
lab.set(rtt=0.04, tls=True)
far = await in_rounds(lab, ("fake-10", "session-10", "article-10"), requests=20, rounds=3)
_ = lab.set(rtt=0, tls=False)

# %%
what_earned(far, guesses={"reuse": far_guess})

# %%
print(far_guess.beside(far.steps[0].earned.middle))
for name in dict.fromkeys(far.arms):
    seen = far.of(name)[0].witness
    print(f"{name:11} {seen.connections} connections for {seen.served} requests, ten of them a warm-up")

# %% [markdown]
# Two round trips of 40 ms, in each of two waves: 0.16 s are arithmetic, the rest is the work of shaking hands. What was noise at home has become a
# large effect. **A factor has no worth of its own; it has one under conditions.** So whoever names a gain must name the link.
#
# And look at the step to the article's client. It loses what the Session had won: it keeps 5 connections of 10, and dials again and again. You saw
# those redials in notebook [06](06_cautions.ipynb); here is their price.

# %% [markdown]
# ## At full size
#
# `supalab explain` runs each pair in fresh processes, measures the whole beside it, and goes on to the client at the end of this course. It
# takes minutes, so here is a record:

# %%
recorded("explain.json", EXPLANATION, waterfall)

# %% [markdown]
# Read it from the top down. Each bar hangs where the one above it ended. If the factors did not add up to the whole, the rest would have a
# row of its own: that is the test of an [**ablation**](glossary.md#ablation). Then read the right half. Where seconds stay, *CPU* may not, and one process can send only
# as many requests as its CPU allows.
#
# And here is what connections earn, link by link:

# %%
recorded("explain.json", EXPLANATION, by_link)

# %% [markdown]
# ## In practice
#
# - **One change for each measurement.** If two must ship together, measure an arm between them that never ships.
# - **Run something against itself** once. Who does not know their noise reports it.
# - **Measure on the link you have.** A laptop beside its database hides whatever costs round trips.
# - **From a terminal:** `supalab explain --quick` is a first look in half a minute.

# %% [markdown]
# ## Recap
#
# <details><summary>A step earned 12 ms in the median, −3 to 30 ms over five rounds. What do you report?</summary>
#
# That it cannot be told from noise in five rounds. Not that it is 12 ms, and not that it is nothing.
# </details>
#
# <details><summary>Limit and reuse change together, and the batch is three times as fast on a far link. Which one earned it?</summary>
#
# You cannot say: either may suffice there. Run the arm between, the old limit with a Session. Notebook 11 does just that with the article's figures.
# </details>
#
# <details><summary>The factors sum to 3.4 s, the whole measured at once is 3.8 s. What now?</summary>
#
# The remainder is a finding. Either the machine was busy for some pairs, or two factors work on each other, so that their order matters. Show it; do
# not share it out.
# </details>
#
# **Next:** [09 · Find the knee](09_find_the_knee.ipynb), where more connections give you less.
