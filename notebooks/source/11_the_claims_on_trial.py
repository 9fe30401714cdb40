# The source of 11_the_claims_on_trial.ipynb; rebuild with: python -m supalab.course.build

# %% [markdown]
# # 11 · The claims on trial
#
# **12 minutes.** You put an article's figures on trial, one by one and then all together, and find out when they can all be true.
#
# - **You will** read a ledger of verdicts; judge three claims by your own measurement; follow a detective; try a blog's table yourself.
# - **You need** notebooks [01](01_see_the_ceiling.ipynb) and [08](08_what_earned_it.ipynb), or: in flight = throughput × time, and a fair control
#   changes one thing.

# %%
from supalab import FakeSupabaseAsync, SessionSupabaseAsync, race
from supalab.course import check, observe, predict, progress_line, sized, start_lab
from supalab.measure.claims.ledger import LEDGER, ledger_of
from supalab.measure.detective.case import CASE
from supalab.measure.littles_law import Row, blog_table
from supalab.measure.workload import Workload
from supalab.shipped import shipped

lab = start_lab(latency=0.15)
ledger = LEDGER.load(shipped("data", "reference", "claims.json"))
print(f"{len(ledger.lines)} claims, measured on {ledger.when[:10]}")

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
# It claims more in its text. Each [claim](glossary.md#claim) has an experiment and a rule for its [verdict](glossary.md#verdict) (`data/claims.csv`). They were put on
# trial once and recorded.

# %% [markdown]
# ## Predict
#
# How many hold *as they were meant*? Some hold for another reason, some cannot be tested.

# %%
guess = predict(f"'holds', out of {len(ledger.lines)}", None, unit="claims")
guess

# %%
from supalab.figures.ledger import ledger_picture

print(guess.beside(ledger.counts["holds"]))
ledger_picture(ledger)

# %% [markdown]
# Each claim that has a figure has a row. The middle line is "as claimed"; within the grey band a figure counts as reproduced. Look at the
# diamonds: *it comes out, and the reason is another*. The first blames thread pools for running three at a time; this one does, but a pool of ten
# runs ten. One in full:

# %%
line = ledger.of("table-faster")
print(f"{line.claim.claim}. Here {line.here}: {line.verdict}.")
print(line.sentence)

# %% [markdown]
# ## Judge for yourself
#
# You need not believe a record. Three claims need three arms: before, after, and the fair control. The server takes the 450 ms of "before", halved;
# figures are scaled to the article's size. A race so short feels every other program: if a verdict differs from the record's, run both cells
# again. (About 7 seconds.)

# %%
from supalab.measure.claims.evidence import Evidence, reduced

workload = Workload(sized(30, at_least=20), latency=0.45 / 2)
trials = race(["fake-3", "article-10", "fake-10"], workload, lab=lab, progress=progress_line())
burst = reduced(trials, scale=2)

# %%
names = ("table-throughput-before", "table-throughput-after", "table-faster")
claims = [ledger.of(name).claim for name in names]
for line in ledger_of(claims, Evidence({"burst": burst})):
    print(f"{line.claim.claim}: {line.claim.stated} claimed, {line.here} here. {line.verdict.capitalize()}.")
    print(f"    {line.sentence}")

# %% [markdown]
# Now tamper with the evidence. *Suppose* that in the recorded race ten threads had been as slow as three. That never happened; the rest
# is left as it was. Which verdicts change?

# %%
from dataclasses import replace

recorded = ledger.evidence.races["burst"]
tampered = {**recorded, "fake-10": replace(recorded["fake-10"], total_s=recorded["fake-3"].total_s)}
for supposed in ledger_of(claims[1:], Evidence({"burst": tampered})):
    line = ledger.of(supposed.claim.id)
    print(f"{line.claim.claim}: {line.here}. As recorded: {line.verdict}. Supposed: {supposed.verdict}.")

# %% [markdown]
# The claims' own numbers have not moved. The control alone decides whether "async" may take the credit.

# %% [markdown]
# ## The detective's question
#
# Can all of the table's figures be true *at once*? Begin with pencil and paper: Little's law
# ([in flight](glossary.md#in-flight) = throughput × time) ties three of its rows together.

# %%
before = Row(limit=3, response_s=0.45, per_s=6.7, n=100, total_s=15)
after = Row(limit=10, response_s=0.15, per_s=20, n=100, total_s=5)
print(blog_table(before, after))

# %% [markdown]
# The "before" column is sound. The "after" column is odd: with ten in flight at 150 ms each, 100 requests would take 1.5 s. There is a
# hint: **450 ms is three times 150 ms**.
#
# A request on a new TLS connection costs three round trips: one for TCP, one for TLS 1.3, one for itself. On a kept connection it costs one.
# What if the server was never slow, but far away, and the response got shorter because connections were *kept*?

# %% [markdown]
# ## Question a suspect
#
# The suspect: **three threads before, the same three threads after, with a `requests.Session`**.
# The lab moves away: TLS, a round trip of 50 ms, no time at the server. The old response divided by the new one, what will it be? (4 seconds.)

# %%
ratio = predict("old response / new response", None, unit="x")
ratio

# %%
lab.set(latency=0.0, rtt=0.05, tls=True)
n, options = sized(45, at_least=30), {"limit": 3, "ca_file": str(lab.ca_file)}
async with FakeSupabaseAsync(lab.url, lab.key, **options) as db:
    dialled = await observe(db, lab, "fake-3", requests=n)
async with SessionSupabaseAsync(lab.url, lab.key, **options) as db:
    kept = await observe(db, lab, "session-3", requests=n)

# %%
from statistics import fmean

from supalab.figures import timeline
from supalab.measure.trial import TrialSet

lab.set(latency=0.15, rtt=0.0, tls=False)
old, new = (fmean(span.service for span in trial.answered) for trial in (dialled, kept))
print(f"{1000 * old:.0f} ms each on {dialled.witness.connections} connections")
print(f"{1000 * new:.0f} ms each on {kept.witness.connections} connections")
print(ratio.beside(old / new))
timeline(TrialSet((dialled, kept)))

# %% [markdown]
# No async, no higher limit. (Less than three times: the first three requests dial in both cases, and this machine's own work is in every
# response.) With a round trip of 150 ms it would be 450 ms with dialling, 150 ms without; three in flight, so 3 / 0.15 =
# **20 requests/s, and 5 s for 100**: nearly the whole table. One cell speaks against this suspect: "10 at once".

# %% [markdown]
# ## The line-up
#
# Nine stories, each measured under its own conditions. A tick: within a factor of 1.5.

# %%
from supalab.figures.detective import case_picture

case = CASE.load(shipped("data", "reference", "detective.json"))
case_picture(case)

# %% [markdown]
# Your suspect is C; D is the same with async. Which rows have eight ticks, and what do they share? In G, H and I the callers of the "after"
# come **one by one**, twenty a second: they set the pace, not the limit, and their "100 requests at once" were not at once. Each had other help
# too: a quicker server (G), or kept connections (H, I). I has no async at all.
#
# Which story is true? The table cannot tell. One more number, **counted at the server**, could: its own time for a request parts G from H. But
# async or threads (H or I)? No server can see that.

# %% [markdown]
# ## Exercise 11a · Put a blog's table on trial
#
# Another blog, another client. Plain HTTP, connections kept, one burst:
#
# | most at once | average response | throughput | 50 requests at once |
# |---|---|---|---|
# | 25 requests | 100 ms | 50 requests/s | 1 s |
#
# These figures cannot all be true. Say which one you doubt, `"limit"`, `"response"` or `"throughput"`, and which limit and response (in seconds)
# explain the others. The check plays your story: the same burst, your limit, a server as slow as you say.
#
# | looked at | the lab |
# |---|---|
# | throughput | about 50 requests/s |
# | 50 requests at once | about 1 s |
# | figures you change | one, the one you doubt |

# %% exercise 11a
# <solution>
story = {"doubted": "limit", "limit": 5, "response": 0.1}
# </solution>
#: story = {"doubted": ..., "limit": ..., "response": ...}


# %%
await check("11a", story)

# %% [markdown]
# ## In practice
#
# - **Three numbers, one law.** Throughput × response = in flight, for any table. In a terminal:
#   `supalab claims --table limit=25,response=100ms,rate=50,n=50,total=1`.
# - **A right number is no right reason.** What else changed that day: limit, connections, server, callers?
# - **Write the rule before you measure.** Otherwise every result confirms what you hoped.
# - **Try it here.** `supalab claims --quick` tries all claims on your machine.

# %% [markdown]
# ## Recap
#
# <details><summary>"3x faster" was reproduced here. Why does it hold only "for another reason"?</summary>
#
# Because the fair control, ten threads, is about as fast. The step from 3 to 10 earned it, and that needs no async.
# </details>
#
# <details><summary>40 requests/s at 250 ms each, "up to 50 at once". What do you ask?</summary>
#
# 40 × 0.25 = 10 in flight on average, so the limit of 50 hardly mattered: either few callers came, or something else held them back. Ask
# how the load was made.
# </details>
#
# <details><summary>Is the article wrong, then?</summary>
#
# Most of its speed figures come out here. What it lacks is the control that says why.
# </details>
#
# **Next:** [12 · Bring your own client](12_bring_your_own_client.ipynb), where the instruments look at yours.
