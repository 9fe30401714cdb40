// What people do every day with the official JavaScript client, against a lab; prints one JSON object.
// Run with the folder of node_modules as working directory: node supabase_js.mjs, with LAB_URL and LAB_KEY in the environment.

import { createRequire } from "node:module";

const { createClient } = createRequire(`${process.cwd()}/`)("@supabase/supabase-js");
// Node.js before 22 has no WebSocket, which the client asks for when it is made; nothing here subscribes.
const realtime = { transport: globalThis.WebSocket ?? class {} };
const db = createClient(process.env.LAB_URL, process.env.LAB_KEY, { auth: { persistSession: false }, realtime });
const BASE = 3000000;
const told = {};

async function note(name, request) {
  const { data, error, count, status } = await request;
  told[name] = { data, count, status, code: error ? error.code : null };
}

const contests = () => db.from("contests");
const url = (id) => `https://contests.test/js/${id}`;

await note("select", contests().select("id, name:title").eq("id", 1));
const some = contests().select("id").gte("id", 3).lt("id", 9).not("id", "in", "(4,5)").or("id.eq.3,id.gt.6");
await note("filters", some.order("id"));
await note("in", contests().select("id").in("id", [7, 2]).order("id", { ascending: false }));
await note("range", contests().select("id").order("id").range(10, 12));
await note("single", contests().select("id").eq("id", 5).single());
await note("single of none", contests().select("id").eq("id", -1).single());
await note("maybe", contests().select("id").eq("id", 5).maybeSingle());
await note("maybe none", contests().select("id").eq("id", -1).maybeSingle());
await note("count", contests().select("*", { count: "exact", head: true }).lte("id", 20));
await note("csv", contests().select("id,prize").lte("id", 2).order("id").csv());
await note("insert", contests().insert({ id: BASE, title: 'a,b "c" (d) \\e', url: url(0) }));
await note("odd text", contests().select("id").eq("title", 'a,b "c" (d) \\e'));
await note("insert several", contests().insert([1, 2].map((n) => ({ id: BASE + n, title: `a,(b) ${n}`, url: url(n) }))).select("id"));
await note("odd list", contests().select("id").in("title", ["a,(b) 1", "a,(b) 2"]).order("id"));
await note("insert again", contests().insert({ id: BASE, title: "again" }));
await note("upsert", contests().upsert([{ id: BASE + 1, title: "up" }, { id: BASE + 3, title: "up" }]).select("id,title"));
await note("upsert ignored", contests().upsert({ id: BASE + 1, title: "no" }, { ignoreDuplicates: true }).select("id"));
await note("update", contests().update({ title: "new" }).eq("id", BASE + 2).select("id,title").single());
await note("delete", contests().delete({ count: "exact" }).gte("id", BASE));
await note("gone", contests().select("id").gte("id", BASE));
await note("rpc", db.rpc("top_contests", { how_many: 2 }).select("id"));
await note("rpc by GET", db.rpc("total_prize", { of_category: "nlp" }, { get: true }));
await note("rpc unknown", db.rpc("nope"));
await note("no table", db.from("nope").select());

const stop = new AbortController();
stop.abort();
const aborted = await contests().select("id").abortSignal(stop.signal);
told.abort = { data: aborted.data, said: String(aborted.error?.message) };
await note("after abort", contests().select("id").eq("id", 1));

console.log(JSON.stringify(told));
process.exit(0);
