// Calls of ioredis: ioredis.mjs PORT

import { createRequire } from "node:module";
import { call, end, errorOf } from "./calls.mjs";

const { Redis } = createRequire(`${process.cwd()}/`)("ioredis");
const r = new Redis({ port: Number(process.argv[2]), retryStrategy: null, maxRetriesPerRequest: 1 });
r.on("error", () => {});
setTimeout(() => {
  console.log("no end after 60 s");
  process.exit(1);
}, 60_000).unref();

await call("flushall", "OK", () => r.flushall());
await call("set", "OK", () => r.set("a", "1"));
await call("set nx", null, () => r.set("a", "2", "NX"));
await call("set ex", "OK", () => r.set("a", "3", "EX", 100));
await call("set get", "3", () => r.set("a", "3", "KEEPTTL", "GET"));
await call("ttl", (got) => got >= 98 && got <= 100, () => r.ttl("a"));
await call("get", "3", () => r.get("a"));
await call("getBuffer", Buffer.from("3"), () => r.getBuffer("a"));
await call("mset", "OK", () => r.mset("c", "1", "d", "2"));
await call("mget", ["1", "2", null], () => r.mget("c", "d", "nothing"));
await call("incr", 2, () => r.incr("c"));
await call("decrby", 1, () => r.decrby("c", 1));
await call("setnx", 0, () => r.setnx("c", "1"));
await call("setex", "OK", () => r.setex("e", 100, "1"));
await call("getset", "1", () => r.getset("e", "2"));
await call("getdel", "2", () => r.getdel("e"));
await call("append", 3, () => r.append("f", "abc"));
await call("getrange", "bc", () => r.getrange("f", 1, -1));
await call("expire", 1, () => r.expire("f", 100));
await call("pexpire", 1, () => r.pexpire("f", 100_000));
await call("persist", 1, () => r.persist("f"));
await call("rename", "OK", () => r.rename("f", "g"));
await call("keys", ["c"], () => r.keys("c*"));
await call("scanStream", ["a", "c", "d", "g"], async () => {
  const found = [];
  for await (const keys of r.scanStream({ count: 2 })) found.push(...keys);
  return found.sort();
});
await call("unlink", 1, () => r.unlink("g"));
await call("del", 1, () => r.del("d", "nothing"));
await call("pipeline", [[null, "OK"], [null, 1]], () => r.pipeline().set("p", 0).incr("p").exec());
await call("multi", [[null, "OK"], [null, 1]], () => r.multi().set("p", 0).incr("p").exec());
await call("watch", [[null, 2]], async () => (await r.watch("p")) && r.multi().incr("p").exec());
await call("error", (got) => got.startsWith("ERR"), () => errorOf(r.call("NONSENSE")));
await call("client id", (got) => got > 0, () => r.client("ID"));
await call("client list", (got) => got.includes("id="), () => r.client("LIST"));
await call("info", (got) => got.includes("redis_version"), () => r.info());
await call("flushdb", "OK", () => r.flushdb());
await call("quit", "OK", () => r.quit());
end();
