# The source of 11_the_claims_on_trial.ipynb; rebuild with: python -m supalab.course.build

# %% [markdown]
# # 11 · The claims on trial
#
# **17 minutes.** You test the article's numbers, one by one and then together, and find out under which conditions they can all be true.
#
# - **You will** read a table of verdicts; judge three claims by your own measurement; test a hypothesis; check another blog's table yourself.
# - **You need** notebooks [01](01_see_the_ceiling.ipynb) and [08](08_what_made_it_faster.ipynb), or: in flight = throughput × time, and a fair control
#   changes one thing.

# %%
from supalab import Case, Workload, here, race, recorded, verdicts
from supalab.course import charts, check, live_view, predict, sized, start_lab

lab = start_lab(latency=0.15)
record = recorded("claims")
claims = verdicts(record)
print(f"{len(claims)} claims, measured on {record.when[:10]}")

# %% [markdown]
# ## The accused
#
# The migration of this course comes from an article, and the article has a table.
#
# | | before: `ThreadPoolExecutor(3)` | after: httpx(10) |
# |---|---|---|
# | most at once | 3 requests | 10 requests |
# | average response | 450 ms | 150 ms |
# | throughput | 6.7 requests/s | 20 requests/s |
# | 100 requests at once | 15 s | 5 s |
#
# Its text makes more claims. Each [claim](glossary.md#claim) has an experiment, and a rule that gives a [verdict](glossary.md#verdict). All claims that
# can be tested here were measured once and recorded.

# %% [markdown]
# ## Predict
#
# How many claims hold *as they were stated*? Some hold for another reason, and some cannot be tested here.

# %%
guess = predict(f"'holds', out of {len(claims)}", None, unit="claims")
guess

# %%
print(guess.compare((claims.verdict == "holds").sum()))
record.figure()

# %% [markdown]
# Each claim with a number has a row. The middle line means "as claimed"; inside the grey band a number counts as reproduced. Look at the diamonds: *the
# number is right, but the reason is different*. The first claim blames thread pools for the limit of 3. But the limit is only `max_workers=3`: a pool of 10
# threads runs 10 requests at a time. The next cell prints one claim in full:

# %%
line = claims.loc["table-faster"]
print(f"{line.claim}. Here {line.here}: {line.verdict}.")
print(line.sentence)

# %% [markdown]
# ## Judge for yourself
#
# You do not have to believe a record. Three claims need three arms: before, after, and the fair control. To save time, the server takes 225 ms here, half of
# the article's 450 ms; `scale=2` doubles the times before the comparison. In such a short race every other program on your machine has an effect. If a
# verdict differs from the record's, run both cells again. (About 7 seconds.)

# %%
workload = Workload(sized(30, at_least=20), latency=0.45 / 2)
mine = race(["fake-3", "article-10", "fake-10"], workload, lab=lab, progress=live_view())

# %%
names = ("table-throughput-before", "table-throughput-after", "table-faster")
for line in verdicts(mine, names, scale=2).itertuples():
    print(f"{line.claim}: {line.stated} claimed, {line.here} here. {line.verdict.capitalize()}.")
    print(f"    {line.sentence}")

# %% [markdown]
# Now a thought experiment. *Suppose* that in the recorded race ten threads had been as slow as three. It is not true, and everything else stays as it
# was. Which verdicts change?

# %%
from dataclasses import replace


def slowed(trial):
    if trial.arm != "fake-10" or trial.case.job != "burst":
        return trial
    return replace(trial, numbers={**trial.numbers, "makespan_s": 15.5})


supposed = verdicts(replace(record, trials=tuple(map(slowed, record.trials))))
for name in names[1:]:
    line = claims.loc[name]
    print(f"{line.claim}: {line.here}. As recorded: {line.verdict}. Supposed: {supposed.verdict[name]}.")

# %% [markdown]
# The claims' own numbers are the same. Only the control decides whether "async" is the reason.

# %% [markdown]
# ## The detective's question
#
# Can all numbers of the table be true *at once*? Start with arithmetic. Little's law ([in flight](glossary.md#in-flight) = throughput × time) connects three
# of its rows:

# %%
for column, limit, response, per_s, total in (("before", 3, 0.45, 6.7, 15), ("after", 10, 0.15, 20, 5)):
    print(f"{column:6}: throughput x response = {per_s * response:4.1f} in flight; the limit is {limit}.", end=" ")
    print(f"100 requests take 100 / {limit} x {response:g} s = {100 / limit * response:4.1f} s; stated: {total} s.")

# %% [markdown]
# The "before" column fits. The "after" column does not: with ten requests in flight at 150 ms each, 100 requests would take 1.5 s. There is a clue:
# **450 ms is three times 150 ms**.
#
# A request on a new TLS connection needs three round trips: one for TCP, one for TLS 1.3, and one for the request itself. On a connection that is already
# open, a request needs only one. What if the server was never slow but far away, and responses became faster because connections were *reused*?

# %% [markdown]
# ## Test a hypothesis
#
# The hypothesis: **three threads before, and the same three threads after, with a `requests.Session`**. The lab now behaves like a distant server: TLS, a
# round trip of 50 ms, and no server time. What will the old response time divided by the new one be? (4 seconds.)

# %%
ratio = predict("old response / new response", None, unit="x")
ratio


# %%
def far_away(arms):
    for arm in arms:
        work = Workload(sized(45, at_least=30), latency=0.0)
        yield Case(arm, work, "burst", conditions={"rtt": 0.05, "tls": True}, detail=True)


far = await here(far_away(["fake-3", "session-3"]), lab, progress=live_view())

# %%
rows = far.rows.set_index("arm")
for name, row in rows.iterrows():
    print(f"{name}: {1000 * row.service_mean_s:.0f} ms each on {row.connections:.0f} connections")
print(ratio.compare(rows.service_mean_s["fake-3"] / rows.service_mean_s["session-3"]))
charts.timeline(far)

# %% [markdown]
# This gain needs neither async nor a higher limit. It is less than 3x because the first three requests open connections in both runs, and this machine's own
# work is part of every response. With a round trip of 150 ms the response would take 450 ms on a new connection and 150 ms on a reused one; three in flight
# give 3 / 0.15 = **20 requests/s, and 5 s for 100 requests**. This is nearly the whole table. One number in the table contradicts this hypothesis: "10 at
# once". (The lab itself hardly ever sees three in flight: it responds immediately, and the other requests are on the network.)

# %% [markdown]
# ## All hypotheses
#
# Here are nine hypotheses, A to I, each measured under its own conditions. A tick means that a number fits within a factor of 1.5.

# %%
recorded("detective").figure()

# %% [markdown]
# You tested C; D is the same with async. Which rows have eight ticks, and what do they have in common? In G, H and I, the "after" requests arrive **one by
# one**, twenty per second. So the arrival rate decides, not the limit, and their "100 requests at once" did not start at once. Responses became shorter for
# another reason: a faster server (G), or reused connections (H and I). I has no async at all.
#
# Which hypothesis is true? The table cannot tell. One more number, **counted at the server**, could help: the server's own processing time would distinguish
# G from H. Nothing on the server can distinguish H from I.

# %% [markdown]
# ## Exercise 11a · Check another table
#
# Here is the table of another blog about another client. It uses plain HTTP, reuses its connections, and sends one burst:
#
# | most at once | average response | throughput | 50 requests at once |
# |---|---|---|---|
# | 25 requests | 100 ms | 50 requests/s | 1 s |
#
# These numbers cannot all be true. Throughput and total time agree (50 / 1 s = 50/s), so one of the other two is wrong. Set `doubted` to `"limit"` or
# `"response"`, and give the `limit` and the `response` (in seconds) that fit. Change only the number that you doubt. The check runs the same burst with your
# limit against a server as slow as you say.
#
# | what the check looks at | expected |
# |---|---|
# | throughput | about 50 requests/s |
# | 50 requests at once | about 1 s |
# | numbers that you change | one: the number that you doubt |

# %% exercise 11a
# hint: Throughput and the time for 50 requests agree, so keep them. Which limit, or which response, would give them?
# hint: 50 requests/s x 0.1 s = 5 in flight: doubt the limit. Or 25 / 50 per second = 0.5 s: doubt the response. Both are right.
# names: Keep the three names 'doubted', 'limit' and 'response', each with a value.
# limit: A limit is a whole number of requests in flight, from 1.
# response: The response is in seconds: write 0.1 for 100 ms.
# as_in_the_blog: These are the blog's own numbers: 25 in flight at 0.1 s each would be done far sooner. The throughput and the time for 50 requests agree with each other. Which of the two other numbers contradicts them?
# one_is_enough: You changed the limit and the response. One is enough: keep the other as in the blog.
# third: This is {faster}. In flight = throughput x response: take two of the blog's numbers and compute the third.
# unknown: Doubt one of these: limit, response.
# disagree: You doubt the {doubted}, but you changed {changed}. Change only the number that you doubt.
# <solution>
explanation = {"doubted": "limit", "limit": 5, "response": 0.1}
# </solution>
#: explanation = {"doubted": ..., "limit": ..., "response": ...}


# %%
await check("11a", explanation)

# %% [markdown]
# ## In practice
#
# - **Check every table with Little's law:** throughput × response time = in flight. In a terminal: `supalab claims --table
#   limit=25,response=100ms,rate=50,n=50,total=1`.
# - **A number can be correct for a different reason.** What else changed: the limit, the connections, the server, the callers?
# - **Write the rule before you measure.** Otherwise every result confirms what you hoped.
# - **Test all claims on your machine** with `supalab claims --quick`.

# %% [markdown]
# ## Recap
#
# <details><summary>"3x faster" was reproduced here. Why does it hold only "for another reason"?</summary>
#
# The fair control, ten threads, is about as fast. The step from 3 to 10 made the difference, and this step does not need async.
# </details>
#
# <details><summary>40 requests/s at 250 ms each, "up to 50 at once". What do you ask?</summary>
#
# 40 × 0.25 = 10 requests are in flight on average, so the limit of 50 hardly mattered. Either few requests arrived, or something else limited them. Ask how
# the load was generated.
# </details>
#
# <details><summary>Is the article wrong, then?</summary>
#
# Most of its speeds can be reproduced here. What it lacks is the control that shows the reason.
# </details>
#
# **Next:** in [12 · Bring your own client](12_bring_your_own_client.ipynb) you measure your own client.
