// Calls of node-redis with RESP2 and RESP3: node_redis.mjs PORT

import { createRequire } from "node:module";
import { call as check, end, errorOf } from "./calls.mjs";

const { createClient } = createRequire(`${process.cwd()}/`)("redis");
const port = Number(process.argv[2]);
// A client that cannot connect would try again for ever.
setTimeout(() => {
  console.log("no end after 60 s");
  process.exit(1);
}, 60_000).unref();

for (const RESP of [undefined, 2, 3]) {
  const call = (name, want, make) => check(`${name} (RESP ${RESP})`, want, make);
  const options = RESP === undefined ? {} : { RESP };
  const socket = { port, reconnectStrategy: false };
  const r = createClient({ ...options, socket });
  r.on("error", () => {});
  try {
    await r.connect();
  } catch (error) {
    await call("connect", undefined, () => String(error));
    continue;
  }
  await call("flushAll", "OK", () => r.flushAll());
  await call("ping", "PONG", () => r.ping());
  await call("set", "OK", () => r.set("a", "1"));
  await call("set NX", null, () => r.set("a", "2", { NX: true }));
  await call("set XX", "OK", () => r.set("a", "2", { XX: true }));
  await call("set GET", "2", () => r.set("a", "3", { GET: true }));
  await call("set EX", "OK", () => r.set("a", "3", { EX: 100 }));
  await call("set KEEPTTL", "OK", () => r.set("a", "3", { KEEPTTL: true }));
  await call("ttl", (got) => got >= 98 && got <= 100, () => r.ttl("a"));
  await call("persist", (got) => got == 1, () => r.persist("a"));
  await call("get", "3", () => r.get("a"));
  await call("get of nothing", null, () => r.get("nothing"));
  await call("mSet", "OK", () => r.mSet({ c: "1", d: "2" }));
  await call("mGet", ["1", "2", null], () => r.mGet(["c", "d", "nothing"]));
  await call("exists", 2, () => r.exists(["c", "d", "nothing"]));
  await call("incr", 2, () => r.incr("c"));
  await call("incrBy", 12, () => r.incrBy("c", 10));
  await call("decr", 11, () => r.decr("c"));
  await call("decrBy", 1, () => r.decrBy("c", 10));
  await call("setNX", (got) => got == 0, () => r.setNX("c", "1"));
  await call("setEx", "OK", () => r.setEx("e", 100, "1"));
  await call("pSetEx", "OK", () => r.pSetEx("e", 100_000, "1"));
  await call("getSet", "1", () => r.getSet("e", "2"));
  await call("getEx", "2", () => r.getEx("e", { type: "EX", value: 100 }));
  await call("getDel", "2", () => r.getDel("e"));
  await call("append", 3, () => r.append("f", "abc"));
  await call("getRange", "bc", () => r.getRange("f", 1, -1));
  await call("setRange", 4, () => r.setRange("f", 2, "xy"));
  await call("strLen", 4, () => r.strLen("f"));
  await call("expire", (got) => got == 1, () => r.expire("f", 100));
  await call("expire NX", (got) => got == 0, () => r.expire("f", 100, "NX"));
  await call("pExpire", (got) => got == 1, () => r.pExpire("f", 100_000));
  await call("expireAt", (got) => got == 1, () => r.expireAt("f", Math.floor(Date.now() / 1000) + 100));
  await call("type", "string", () => r.type("f"));
  await call("touch", 1, () => r.touch("f"));
  await call("rename", "OK", () => r.rename("f", "g"));
  await call("randomKey", (got) => typeof got === "string", () => r.randomKey());
  await call("keys", ["c"], () => r.keys("[c]*"));
  await call("scanIterator", ["a", "c", "d", "g"], async () => {
    const found = [];
    for await (const keys of r.scanIterator({ COUNT: 2 })) found.push(...[keys].flat());
    return found.sort();
  });
  await call("unlink", 1, () => r.unlink("g"));
  await call("del", 1, () => r.del(["d", "nothing"]));
  await call("dbSize", 2, () => r.dbSize());
  await call("multi", ["OK", 1, "1"], () => r.multi().set("p", "0").incr("p").get("p").exec());
  await call("pipeline", ["OK", 1], () => r.multi().set("p", "0").incr("p").execAsPipeline());
  await call("at once", ["OK", 5, "5"], () => Promise.all([r.set("p", "4"), r.incr("p"), r.get("p")]));
  await call("watch", (got) => got == 6, async () => {
    await r.watch("p");
    return (await r.multi().incr("p").exec())[0];
  });
  await call("error", (got) => got.startsWith("ERR"), () => errorOf(r.sendCommand(["NONSENSE"])));
  await call("clientId", (got) => got > 0, () => r.clientId());
  await call("clientSetName", "OK", () => r.clientSetName("name"));
  await call("clientGetName", "name", () => r.clientGetName());
  await call("clientList", (got) => got.length >= 1, () => r.clientList());
  await call("info", (got) => got.includes("redis_version"), () => r.info());
  await call("configGet", (got) => got.maxmemory === "0", () => r.configGet("maxmemory"));
  await call("flushDb", "OK", () => r.flushDb());
  await call("close", undefined, () => r.close());
}
end();
