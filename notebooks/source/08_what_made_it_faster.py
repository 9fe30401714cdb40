# The source of 08_what_made_it_faster.ipynb; rebuild with: python -m supalab.course.build

# %% [markdown]
# # 08 · What made it faster
#
# **18 minutes.** You split the step from "before" to "after" into single changes and measure how many seconds each one saves.
#
# - **You will** guess the order of four factors and measure it; distinguish a gain from noise; see that a gain depends on the network.
# - **You need** notebook [07](07_side_by_side.ipynb), or to know the arms `fake-3` and `article-10`.

# %%
from supalab import Case, Workload, here, recorded
from supalab.course import NotDone, charts, check, live_view, predict, sized, start_lab

lab = start_lab(latency=0.05)
rounds = sized(5, at_least=3)

# %% [markdown]
# ## One step, four changes
#
# A team migrates, and its batch job is three times as fast. Everybody thinks that async is the reason. But other things changed on the same day. They are
# [**confounders**](glossary.md#confounder): if you compare only the two ends, you cannot separate them.
#
# So we go from one end to the other in steps that change *one* thing:
#
# | arm | what changed from the arm above |
# |---|---|
# | `fake-3` | (the article's "before") |
# | `fake-10` | `limit`: 10 threads instead of 3 |
# | `fake-10` | nothing; it runs once more |
# | `session-10` | `reuse`: one shared `requests.Session` |
# | `httpx-threads-10` | `library`: httpx instead of requests, still in threads |
# | `article-10` | `async`: the same library and pool, without threads |
#
# Why does one arm run twice? If nothing changes, any difference that we measure is [**noise**](glossary.md#noise). Engineers call this an A/A test.
#
# The step `library` changes two things, because httpx comes with the article's setting: only 5 of 10 connections may stay open.

# %% [markdown]
# ## Predict
#
# The whole step, from `fake-3` to `article-10`, is 100 %. How much of it does each factor save? Replace `None` with numbers, all or some of them.

# %%
guesses = {
    "limit": predict("10 threads instead of 3", None, unit="% of the whole"),
    "reuse": predict("one shared Session", None, unit="% of the whole"),
    "library": predict("httpx instead of requests", None, unit="% of the whole"),
    "async": predict("async instead of threads", None, unit="% of the whole"),
}

# %% [markdown]
# ## Take turns
#
# Suppose you run one arm five times and then the next arm, and a backup starts in between. Then the second client looks slow. So we run every arm once; this
# is a [**round**](glossary.md#round). Then we run all of them again, and each round starts with another arm.
#
# The next cell is a **plan**: a generator that yields one `Case` for each burst. `repeat` is the number of the round and `place` is the arm's place in the
# chain. `here` runs the plan in this notebook. A first wave opens the connections (`warm_up`); it does not count. (About 10 seconds.)


# %%
def in_rounds(arms, rounds, **network):
    for number in range(rounds):
        for turn in range(len(arms)):
            place = (number + turn) % len(arms)  # another arm is first in each round
            yield Case(
                arms[place],
                Workload(requests=20, latency=0.05),
                repeat=number,
                conditions=network,
                tags={"place": place},
                options={"warm_up": 10},
            )


CHAIN = ("fake-3", "fake-10", "fake-10", "session-10", "httpx-threads-10", "article-10")
found = await here(in_rounds(CHAIN, rounds), lab, progress=live_view())

# %% [markdown]
# `found.rows` is a pandas DataFrame with one row for each burst. We put the rounds in rows and the arms in columns. Then we subtract each column from the
# column on its left, so we take differences only *within* a round:


# %%
def savings(found, changes):
    seconds = found.rows.pivot(index="repeat", columns="place", values="makespan_s")
    saved = -seconds.diff(axis="columns").drop(columns=0)  # before − after
    return saved.set_axis(changes, axis="columns")


saved = savings(found, ["limit", "nothing", "reuse", "library", "async"])
print(f"{found.rows.errors.sum()} of {found.rows.requests.sum()} requests failed")
charts.savings(saved, guesses=guesses)

# %% [markdown]
# One factor saves nearly all of the time, and arithmetic explains it: 20 requests need 7 waves of three, or 2 waves of ten. Five waves of 0.05 s are
# saved. No other factor changes the number of waves. (If a factor shows more than 100 %, other factors lost some time.)
#
# The pale band is the noise: it is as wide as the largest difference between two runs of the same arm. A bar that stays inside the band is not "a small
# gain"; you cannot distinguish it from noise. If the band covers even the longest bar, another program disturbed one round: run the measuring cell again.
#
# From threads to async, with httpx on both sides, expect no gain here, and perhaps a loss. Async helps in other ways (notebooks
# [05](05_step_3_the_context_manager.ipynb) and [10](10_in_production.ipynb)).

# %% [markdown]
# ## When is it more than noise?
#
# These are the differences in milliseconds, round by round:

# %%
(1000 * saved).round(1)

# %% [markdown]
# A simple rule is: believe a difference if it has the same sign in every round. How often is this rule wrong? If you toss a coin five times, all tosses are
# equal in 2 of 32 cases. So with no real effect this rule is wrong in one case of 16; with three rounds, in one case of 4. The chart uses a stricter rule: a
# gain must also be larger than every difference between the two runs of `fake-10`. A factor whose differences all have the same sign can still fail this
# test.
#
# ## Exercise 08a · Compute what a step saves
#
# Write `gain(before, after)`. Both are pandas Series of seconds, with one value for each round; `before[0]` and `after[0]` ran in the same round. Subtract
# round by round, before − after, and return `(median, lowest, highest, above_noise)`. `above_noise` follows the simple rule: it is true
# if 0 is outside lowest…highest. A step that loses time in every round is above noise too.
#
# | seconds before | after | result |
# |---|---|---|
# | 0.50, 0.52, 0.51 | 0.20, 0.21, 0.22 | 0.30, 0.29, 0.31, True |
# | 0.50, 0.60, 0.70 | 0.40, 0.51, 0.59 | 0.10, 0.09, 0.11, True |
# | 0.20, 0.21, 0.20 | 0.21, 0.20, 0.20 | 0.00, −0.01, 0.01, False |


# %% exercise 08a
# hint: before[i] and after[i] ran in the same round. First compute their differences: pandas subtracts two Series round by round.
# hint: found = before - after. Its median(), min() and max() are three of the four values; above_noise means that 0 is not between min and max.
# four: Return four values: the median, the lowest and the highest of the differences, and True or False.
# direction: Saved seconds are positive: subtract before minus after.
# paired: This machine got slower from round to round, for both arms. Subtract pair by pair, before[i] - after[i], and this change is gone.
# one_slow: One slow round moves a mean a lot. It hardly moves a median.
# both_sides: Some rounds saved time and some lost time, so 0 is inside the range: this is within noise.
# steady: Ten milliseconds are not much, but every round saves them. A small gain is not the same as noise.
# loses: A step can lose time, and this can be above noise too: then all differences are below 0.
# ends: The range goes from the lowest to the highest difference within a round.
def gain(before, after):
    """Seconds that a step saves: median, lowest, highest; and whether this is above noise."""
    # <solution>
    found = before - after  # round by round
    return found.median(), found.min(), found.max(), found.min() > 0 or found.max() < 0
    # </solution>
    #: raise NotDone("first, the difference of each round")


# %%
await check("08a", gain)

# %% [markdown]
# ## The same factor on another network
#
# Reusing connections saved little or nothing here. Can you leave it out? The lab runs on this machine, where opening a connection is cheap. Now the lab
# behaves like a distant server: a round trip takes 40 ms, and the connection uses TLS. A new connection needs one round trip for TCP and one for TLS,
# *before* the request itself.
#
# A first wave opens the Session's connections and does not count. Then two waves of ten follow. How many seconds will reuse save in them?

# %%
far_guess = predict("reuse over TLS and 40 ms", None)
far_guess

# %% [markdown]
# The next cell runs the same pair over this network, and the article's client. (About 6 seconds.)

# %%
FAR = ("fake-10", "session-10", "article-10")
far = await here(in_rounds(FAR, 3, rtt=0.04, tls=True), lab, progress=live_view())

# %%
far_saved = savings(far, ["reuse", "article"])
print(far_guess.compare(far_saved.reuse.median()))
print(far.rows.groupby("arm", sort=False)[["requests", "errors", "connections"]].median())
charts.savings(far_saved, guesses={"reuse": far_guess})

# %% [markdown]
# The table counts the connections that were opened after the warm-up. Two round trips of 40 ms in each of two waves are 0.16 s. The rest is mostly
# the CPU work of TLS handshakes. **How much a change saves depends on the conditions.**
#
# The article's client loses what the Session had saved. It lets 5 of 10 connections stay open, so it keeps opening new connections (notebook
# [06](06_cautions.ipynb)).

# %% [markdown]
# ## At full size
#
# `supalab explain` runs each pair in fresh processes, and it continues from the article's client to our client (notebook [09](09_find_the_peak.ipynb)
# explains these steps). It takes minutes, so here is a recorded run:

# %%
explained = recorded("explain")
explained.figure()

# %% [markdown]
# Each bar starts where the bar above it ended. The factors should add up to the whole. This tests the [**ablation**](glossary.md#ablation); see the
# last line of the chart. The record has three rounds, so trust long bars and not short ones.
#
# The right side shows CPU time. Each pair ran separately, so compare only *within* a row. A step that costs no seconds may cost CPU time.
#
# The next chart shows what connections save on each network. Find the rows with 40 ms. What does reuse save, and which step loses it again?

# %%
explained.figure("explain-links")

# %% [markdown]
# Reuse saves a lot, and the step to httpx loses nearly all of it. In the last row, where ten connections may stay open, the gain is back. So the setting
# caused the loss, not the library.
#
# ## In practice
#
# - **Change one thing per measurement**, even if you need an arm that you will never ship.
# - **Run one arm against itself.** If you do not know your noise, you will report it as a gain.
# - **Measure on the network that you use in production**, not next to your database.

# %% [markdown]
# ## Recap
#
# <details><summary>A step saved 12 ms in the median, and −3 to 30 ms over five rounds. What do you report?</summary>
#
# Report that five rounds cannot distinguish it from noise. Do not report 12 ms, and do not report that there is no effect.
# </details>
#
# <details><summary>Limit and reuse change together, and the batch is three times as fast on a slow network. Which of them made it faster?</summary>
#
# You cannot say. On such a network each of them could do it alone. Run the arm between the two: the old limit with a Session.
# </details>
#
# **Next:** in [09 · Find the peak](09_find_the_peak.ipynb) more connections make a client slower.
