# The source of 04_step_2_the_methods.ipynb; rebuild with: python -m supalab.course.build

# %% [markdown]
# # 04 · Step 2: the methods
#
# **9 minutes.** Every method of the client goes through one function, and what users type stays data on its way.
#
# - **You will** see a method call become an HTTP request; break a search with a comma; write `insert` and `update`.
# - **You need** notebook [03](03_step_1_the_client.ipynb), or the idea that a client keeps one `httpx.AsyncClient`.

# %%
import inspect

from supalab import ArticleSupabaseAsync, wire
from supalab.course import NotDone, check, predict, start_lab
from supalab.course.small import SmallClient
from supalab.errors import ApiError
from supalab.filters import any_of, gte

lab = start_lab(latency=0.02)
async with ArticleSupabaseAsync(lab.url, lab.key) as db:
    await db.delete("contests", filters={"id": gte(900_000)})  # what an earlier run left

# %% [markdown]
# ## Four methods, four times the same
#
# A client grows one method at a time. `select` calls `requests.get`, `insert` calls `requests.post`, and each builds the address, adds the
# key, sets a timeout, checks the status, reads the JSON. Sooner or later one of them forgets one of these.
#
# The second step of the migration mends that: **one `_request`, and everything goes through it**. Here it is in `SmallClient`, a client that
# can read and not yet write. You will build on it.

# %%
print(inspect.getsource(SmallClient._request))

# %% [markdown]
# Nothing in there knows what an insert is. It takes a method, a table, perhaps a query (`params`), a body (`json`) and a wish (`prefer`). The
# key and the timeout are in the `httpx` client, which `_get_client` makes once (a plain `def`: no `await` can slip in); `replies.value` gives the rows or raises `ApiError`.
# A method on top needs one line:

# %%
print(inspect.getsource(SmallClient.select))
small = SmallClient(lab.url, lab.key)
await small.select("contests", select="id,title", limit="2")

# %% [markdown]
# ## Where an argument goes
#
# What is left for the methods? To say in HTTP what you said in Python. In our clients that is a [**pure** function](glossary.md#pure-function) each, in
# `supalab/wire.py`: arguments in, a `Call` out, nothing sent.

# %%
mine = {"id": 900_001, "title": "My contest", "url": "https://contests.test/mine"}
calls = {
    "select": wire.select("contests", columns="id,title", filters={"host": "kaggle"}, limit=2),
    "insert": wire.insert("contests", mine),
    "update": wire.update("contests", {"prize": 500}, filters={"id": 900_001}),
    "delete": wire.delete("contests", filters={"id": 900_001}),
}
for name, call in calls.items():
    print(f"{name}: {call.method} {call.target}")
    print(f"        prefer: {call.headers.get('Prefer')}, body: {call.body}")

# %% [markdown]
# | you say | it becomes |
# |---|---|
# | which method you call | the HTTP method: GET, POST, PATCH, DELETE |
# | the table | the path |
# | filters, columns, order, limit | the query: `host=eq.kaggle` says that `host` is equal to `kaggle` |
# | the rows, or the new values | the body, as JSON |
# | whether you want the rows back | the header `Prefer`; `select` names their columns |
#
# The fake client and the real one share this half. The migration changes how a `Call` is *sent*. Let's send some:

# %%
async with ArticleSupabaseAsync(lab.url, lab.key) as db:
    lab.reset()
    print("insert:", [row["status"] for row in await db.insert("contests", mine)])
    this = {"id": 900_001}
    print("update:", [row["prize"] for row in await db.update("contests", {"prize": 500}, filters=this)])
    print("delete:", await db.delete("contests", filters=this, return_="minimal"))
    print(lab.witness())

# %% [markdown]
# Three requests, one connection. Nobody sent a `status`: the table filled it in, and `return=representation` brought it back.
# With `minimal` the server sends nothing back: the better choice if you would throw the rows away.
#
# ## Filters are data
#
# A search box asks for contests whose title or host is what somebody typed. In PostgREST's words that is `or=(…,…)`: conditions in brackets,
# a comma between them. The quick way glues the text into the address:


# %%
async def glued(typed):
    query = f"select=id&or=(title.eq.{typed},host.eq.{typed})"
    return [row["id"] for row in await small._request("GET", f"contests?{query}")]


len(await glued("kaggle"))

# %% [markdown]
# It works in the demo, and it is merged. The table has 500 rows, and none has the title or the host `x,id.gt.0`.
# How many rows does a search for that text find?

# %%
guess = predict("the text x,id.gt.0", None, unit="rows")
guess

# %%
everything = [row["id"] for row in await small.select("contests", select="id", order="id")]
print(guess.beside(len(await glued("x,id.gt.0"))))

# %% [markdown]
# The comma ended one condition and began another: `id.gt.0`, "the id is greater than 0", which is true of every row. In a DELETE, the same
# text would have emptied the table.
#
# Now the same search with the text passed as data. `any_of` puts it in quotation marks (`%22` in an address), and between those a comma is
# only a comma. (A quotation mark that was typed gets a backslash.)


# %%
def target(typed):
    return wire.select("contests", columns="id", filters=any_of({"title": typed}, {"host": typed})).target


async def as_data(typed):
    return [row["id"] for row in await small._request("GET", target(typed).removeprefix("/"))]


print(target("x,id.gt.0"))

# %%
from supalab.course.touched import rows_found


async def tried(search, typed):
    try:
        return await search(typed)
    except ApiError as error:
        return f"an error, {error.status}"


texts = ("kaggle", "a,b)", "x,id.gt.0")
rows_found({text: (await tried(glued, text), await tried(as_data, text)) for text in texts}, everything)

# %% [markdown]
# An ordinary name finds the same rows both ways, which is why this passes review. A comma and a bracket break the glued search, and the third
# text finds everything. Outside brackets, `&`, `#` and `+` do the damage: `title=eq.R&D` asks for the title `R`.

# %% [markdown]
# ## Errors from one place
#
# Every answer passes one function, so every refusal becomes the same kind of error, with the server's code and words.

# %%
[first] = await small.select("contests", limit="1")
for request in (
    lambda: small.select("no_such_table"),
    lambda: small.select("contests", colour="eq.red"),
    lambda: small._request("POST", "contests", json=first),
):
    try:
        await request()
    except ApiError as error:
        print(error)

# %% [markdown]
# ## Exercise 04a · Write `insert`
#
# Give the small client an `insert(table, rows)` that adds one row or a list of rows, and returns them as stored. The check inserts at a lab
# of its own, looks into the table, and counts the requests.
#
# | call | in the table | returned | requests |
# |---|---|---|---|
# | one row | 1 more | that row, with `status` | 1 |
# | a list of three | 3 more | those rows | 1 |
# | a row that is there already | nothing new | raises `ApiError 409` | 1 |


# %% exercise 04a
class WithInsert(SmallClient):
    async def insert(self, table, rows):
        """Add a row or a list of rows; return them as stored."""
        # <solution>
        return await self._request("POST", table, json=rows, prefer="return=representation")
        # </solution>
        #: raise NotDone("one line: everything goes through self._request")


# %%
await check("04a", WithInsert)

# %% [markdown]
# ## Exercise 04b · Write `update`
#
# Now `update(table, values, filters)`. Here `filters` is a mapping from columns to values, and a row must fit them all: `{"host": "kaggle",
# "status": "open"}`. In the query, *equal to 7* is written `eq.7`. Titles may be anything, `R&D` for instance.
#
# | call | rows changed | returned |
# |---|---|---|
# | `update("contests", {"prize": 5000}, {"title": "R&D"})` | that one alone | that row, prize 5000 |
# | two filters | those that fit both | those rows |
# | a value that the table refuses | none | raises `ApiError 400` |


# %% exercise 04b
class WithUpdate(SmallClient):
    async def update(self, table, values, filters):
        """Change the rows that fit all filters; return them as they are now."""
        # <solution>
        params = {column: f"eq.{value}" for column, value in filters.items()}
        return await self._request("PATCH", table, params=params, json=values, prefer="return=representation")
        # </solution>
        #: raise NotDone("which HTTP method changes rows, and how do the filters travel?")


# %%
await check("04b", WithUpdate)

# %% [markdown]
# ## In practice
#
# - **An update without filters is an update of everything.** Supabase's API and this lab refuse it; a plain PostgREST obeys. Our
#   `wire.update` raises before anything is sent.
# - **`raise_for_status()` forgets the reason.** It raises on the status and leaves PostgREST's code, message and hint in the body. Read the
#   body in the one place that has it.
# - **A write whose answer never came may have been applied.** Reads may be sent again; writes only if they may happen twice.

# %% [markdown]
# ## Recap
#
# <details><summary>You need a new header on all requests. How many places change?</summary>
#
# One: `_request`. With four methods on their own it would be four, and the fourth is forgotten.
# </details>
#
# <details><summary>Is <code>params={"title": f"eq.{typed}"}</code> safe, although it has an f-string?</summary>
#
# Yes: httpx escapes the whole value, and outside brackets PostgREST takes all behind <code>eq.</code> as it stands. Inside
# <code>or=(…)</code> or <code>in.(…)</code> it is not: there a text needs quotes as well.
# </details>
#
# <details><summary>Does any of this make the client faster?</summary>
#
# No. It makes every change small: only <code>_request</code> knows how a request is sent, so retries or a deadline have one place to go.
# </details>
#
# **Next:** [05 · Step 3: the context manager](05_step_3_the_context_manager.ipynb), where the client learns to leave nothing behind.
