# The source of 04_step_2_the_methods.ipynb; rebuild with: python -m supalab.course.build

# %% [markdown]
# # 04 · Step 2: the methods
#
# **23 minutes.** Every method of the client goes through one function, and what users type stays data on its way to the server.
#
# - **You will** see a method call become an HTTP request; break a search with a comma; write `insert` and `update`.
# - **You need** notebook [03](03_step_1_the_client.ipynb), or the idea that a client keeps one `httpx.AsyncClient`.

# %%
import inspect

from supalab import ApiError, ArticleSupabaseAsync, any_of, wire
from supalab.course import NotDone, SmallClient, charts, check, predict, start_lab

lab = start_lab(latency=0.02)
async with ArticleSupabaseAsync(lab.url, lab.key) as db:
    await db.delete("contests", filters={"id": 900_001})  # a row of an earlier run

# %% [markdown]
# ## The same code in four methods
#
# A client usually grows one method at a time. `select` calls `requests.get` and `insert` calls `requests.post`. Each method builds the address, adds the
# key, sets a timeout, checks the status and reads the JSON. Sooner or later one of the methods lacks one of these steps.
#
# Step 2 of the migration fixes this: **one `_request`, and everything goes through it**. Here is the `_request` of `SmallClient`, a client that can
# read and cannot write yet. You will add the writing.

# %%
print(inspect.getsource(SmallClient._request))

# %% [markdown]
# `_request` does not know what an insert is. It takes a method, a table, and if needed a query (`params`), a body (`json`) and a preference (`prefer`).
# `_get_client` creates the `httpx` client once, with the key. It is a plain `def`, so no `await` can interrupt it. `replies.value` returns the rows, or
# raises `ApiError` if the status is an error.
#
# A method that uses it needs one line:

# %%
print(inspect.getsource(SmallClient.select))
small = SmallClient(lab.url, lab.key)
await small.select("contests", select="id,title", limit="2")

# %% [markdown]
# ## What each argument becomes
#
# The methods translate your Python call into HTTP. In our clients, [**pure** functions](glossary.md#pure-function) in the module `supalab.wire` do this.
# Each function takes the arguments and returns a `Call`. It sends nothing.

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
# | in Python | in HTTP |
# |---|---|
# | the method that you call | GET, POST, PATCH or DELETE |
# | the table | the path |
# | filters, columns, order, limit | the query: `host=eq.kaggle` means that `host` equals `kaggle` |
# | the rows, or the new values | the body, as JSON |
# | whether you want the rows back | the header `Prefer` |
#
# The fake client and the real client share this half of the work. The migration changes only how a `Call` is *sent*. The next cell sends three:

# %%
async with ArticleSupabaseAsync(lab.url, lab.key) as db:
    lab.reset()
    print("insert:", [row["status"] for row in await db.insert("contests", mine)])
    this = {"id": 900_001}
    print("update:", [row["prize"] for row in await db.update("contests", {"prize": 500}, filters=this)])
    print("delete:", await db.delete("contests", filters=this, return_="minimal"))
    print(lab.witness())

# %% [markdown]
# Three requests used one connection. We did not send a `status`: the table filled it in, and `return=representation` brought it back. With `minimal` the
# server sends nothing back. Choose `minimal` if you do not need the rows.
#
# ## Filters are data
#
# A search box asks for contests whose title or host equals what somebody typed. In a Supabase project, a server named PostgREST turns each request into SQL.
# In its syntax this search is `or=(…,…)`: conditions in parentheses, separated by commas. The quick way puts the typed text into the address:


# %%
async def glued(typed):
    query = f"select=id&or=(title.eq.{typed},host.eq.{typed})"
    return [row["id"] for row in await small._request("GET", f"contests?{query}")]


len(await glued("kaggle"))

# %% [markdown]
# This works in a demo. The table has 500 rows, and no row has the title or the host `x,id.gt.0`. How many rows does a search for this text find?

# %%
guess = predict("the text x,id.gt.0", None, unit="rows")
guess

# %%
everything = [row["id"] for row in await small.select("contests", select="id", order="id")]
print(guess.compare(len(await glued("x,id.gt.0"))))

# %% [markdown]
# The comma ended one condition and began another. `id.gt.0` means "the id is greater than 0", which is true for every row. In a DELETE, the same text
# would have emptied the table. It is the same mistake as SQL injection: text from a user became part of the query.
#
# Now the same search with the text passed as data. `any_of` puts it in quotation marks (`%22` in an address). Inside quotation marks a comma has no
# special meaning. (If the user types a quotation mark, it gets a backslash.)


# %%
def target(typed):
    return wire.select("contests", columns="id", filters=any_of({"title": typed}, {"host": typed})).target


async def as_data(typed):
    return [row["id"] for row in await small._request("GET", target(typed).removeprefix("/"))]


print(target("x,id.gt.0"))


# %%
async def tried(search, typed):
    try:
        return await search(typed)
    except ApiError as error:
        return f"an error, {error.status}"


texts = ("kaggle", "a,b)", "x,id.gt.0")
charts.rows_found({text: (await tried(glued, text), await tried(as_data, text)) for text in texts}, everything)

# %% [markdown]
# For an ordinary name, both searches find the same rows, so a reviewer may not notice the problem. A comma with a parenthesis breaks the first search, and
# the third text makes it find every row. Outside parentheses, `&`, `#` and `+` cause the same kind of problem: `title=eq.R&D` asks for the title `R`.

# %% [markdown]
# ## Errors from one place
#
# Every response passes through one function. So every refusal becomes the same kind of error, with the server's code and message.

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
# Write `insert(table, rows)` for the small client. It adds one row or a list of rows, and it returns them as the server stored them. The check inserts into a
# lab of its own, looks into the table, and counts the requests.
#
# | call | in the table | returned | requests |
# |---|---|---|---|
# | one row | 1 more | this row, with `status` | 1 |
# | a list of three | 3 more | these rows | 1 |
# | a row that already exists | nothing new | raises `ApiError 409` | 1 |


# %% exercise 04a
# hint: Everything goes through self._request. It needs a method, the table, and the rows as json=.
# hint: return await self._request('POST', table, json=rows, prefer=...). Which preference asks for the stored rows?
# plain: Callers await your method: write async def, and await self._request in it.
# unawaited: Your method returned a coroutine: it needs an await before self._request. Without it nothing is sent.
# by_columns: {requests} requests for one row: a loop over a mapping goes through its columns. Pass rows on unchanged.
# not_sent: Nothing was sent. Let self._request send it; it creates the httpx client if there is none yet.
# refused: No row was added: {error}. POST adds rows; pass the row itself as json=.
# not_added: No row was added. POST adds rows; pass the row as json=.
# not_asked_for: Nothing came back. The server sends stored rows only when it is asked to: prefer='return=representation'.
# no_return: Your method returns None. Is there a return before the await?
# as_sent: This is what you sent, not what the server stored. Return the result of _request: it has more columns.
# nested: You return a list inside a list. _request already returns a list of rows: return this list unchanged.
# as_stored: Return what the server stored: a list with the row in it.
# one_by_one: It took {requests} requests. If the second is refused, you have half of an insert. Pass the list on unchanged: PostgREST takes one row or many in one request, and adds all of them or none.
# list_unchanged: Pass the list on unchanged: PostgREST takes one row or many in one request, and adds all of them or none.
# overwritten: The row existed, and yours has overwritten it: a resolution=… in prefer makes it an upsert.
# not_told: The server refused, and the caller was not told. _request raises for every error status: let the error pass.
class WithInsert(SmallClient):
    async def insert(self, table, rows):
        """Add a row or a list of rows; return them as stored."""
        # <solution>
        return await self._request("POST", table, json=rows, prefer="return=representation")
        # </solution>
        #: raise NotDone("one line is enough: call self._request")


# %%
await check("04a", WithInsert)

# %% [markdown]
# ## Exercise 04b · Write `update`
#
# Write `update(table, values, filters)`. `filters` maps columns to values, such as `{"host": "kaggle", "status": "open"}`, and a row must match all of
# them. The values are text or numbers. (NULL would need `is.null`; you may ignore it.) In the query, *equals 7* is written `eq.7`. A title may contain
# any characters, for example `R&D`.
#
# | call | rows changed | returned |
# |---|---|---|
# | `update("contests", {"prize": 5000}, {"title": "R&D"})` | only this one | this row, with the prize 5000 |
# | two filters | the rows that match both | these rows |
# | a value that the table refuses | none | raises `ApiError 400` |


# %% exercise 04b
# hint: The new values are the body (json=). The filters are the query (params=): columns and their conditions.
# hint: params={column: f'eq.{value}' for column, value in filters.items()}, and the method is PATCH.
# plain: Callers await your method: write async def, and await self._request in it.
# unawaited: Your method returned a coroutine: it needs an await before self._request. Without it nothing is sent.
# not_escaped: The & ended the value, so the row 'R' was changed by mistake. Pass the filters as params=, and httpx escapes them.
# swapped: The new value came as a filter: new values are the body (json=), filters are the query (params=).
# no_operator: A filter is an operator, a dot and a value: the parameter title must be the text 'eq.R&D'.
# refused: The server refused: {error}. PATCH changes rows; pass the filters as params=, new values as json=.
# fits_no_row: The filter matches no row. Write the value as it is, without quotation marks or escapes: the parameter is 'eq.R&D'. httpx escapes what is in params=.
# nothing_changed: No row has changed. PATCH changes rows; pass the filters as params=, new values as json=.
# another_row: The wrong row has changed.
# as_now: Return the rows as they are now, as insert does, with prefer='return=representation'.
# one_lost: {rows} rows changed: one of the two filters got lost. Each filter is a parameter of its own, and a row must match them all.
# each_filter: Each filter is a parameter of its own, and a row must match them all.
# overwritten: The table refuses this value, but rows came back. Send the values as they are.
# not_told: The server refused, and the caller was not told. _request raises for every error status: let the error pass.
class WithUpdate(SmallClient):
    async def update(self, table, values, filters):
        """Change the rows that match all filters; return them as they are now."""
        # <solution>
        params = {column: f"eq.{value}" for column, value in filters.items()}
        return await self._request("PATCH", table, params=params, json=values, prefer="return=representation")
        # </solution>
        #: raise NotDone("which HTTP method changes rows, and where do the filters go?")


# %%
await check("04b", WithUpdate)

# %% [markdown]
# ## In practice
#
# - **An update without filters changes every row.** Supabase's API and this lab refuse it; a plain PostgREST does it. Our `wire.update` raises before
#   anything is sent.
# - **`raise_for_status()` loses the reason.** It reports the status and ignores PostgREST's code, message and hint, which are in the body. Read the body in
#   `_request`, the one place that has it.
# - **A write without a response may have been applied.** You may send a read again. Send a write again only if applying it twice does no harm.

# %% [markdown]
# ## Recap
#
# <details><summary>You need a new header on all requests. How many places change?</summary>
#
# One: `_request`. With four separate methods there would be four places, and you might miss one of them.
# </details>
#
# <details><summary>Is <code>params={"title": f"eq.{typed}"}</code> safe, although it has an f-string?</summary>
#
# Yes. httpx escapes the whole value, and outside parentheses PostgREST takes everything after <code>eq.</code> as the value. Inside
# <code>or=(…)</code> or <code>in.(…)</code> it is not safe: there a text also needs quotation marks.
# </details>
#
# <details><summary>Does any of this make the client faster?</summary>
#
# No. It makes later changes small. Only <code>_request</code> knows how a request is sent, so retries and a deadline go into one place.
# </details>
#
# **Next:** in [05 · Step 3: the context manager](05_step_3_the_context_manager.ipynb) the client closes what it opened.
