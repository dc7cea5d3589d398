"""Calls of redis-py with its default protocol, and with RESP2 and RESP3: redis_py.py PORT"""

import sys
import time

import redis
from calls import Calls, is_between

port, calls = int(sys.argv[1]), Calls()


def ordinary(r, protocol):
    def call(name, want, function):
        calls(f"{name} (protocol {protocol})", want, function)

    call("flushall", True, r.flushall)
    call("ping", True, r.ping)
    call("set", True, lambda: r.set("a", "1"))
    call("set nx", None, lambda: r.set("a", "2", nx=True))
    call("set xx", True, lambda: r.set("a", "2", xx=True))
    call("set get", b"2", lambda: r.set("a", "3", get=True))
    call("set ex", True, lambda: r.set("a", "3", ex=100))
    call("set px", True, lambda: r.set("a", "3", px=100_000))
    call("set keepttl", True, lambda: r.set("a", "3", keepttl=True))
    call("set exat", True, lambda: r.set("a", "3", exat=int(time.time()) + 100))
    call("set pxat", True, lambda: r.set("a", "3", pxat=int(time.time() * 1000) + 100_000))
    call("ttl", is_between(98, 100), lambda: r.ttl("a"))
    call("pttl", is_between(90_000, 100_000), lambda: r.pttl("a"))
    call("persist", True, lambda: r.persist("a"))
    call("get", b"3", lambda: r.get("a"))
    call("get of nothing", None, lambda: r.get("nothing"))
    call("binary value", b"\x00\r\n\xff", lambda: r.set("b", b"\x00\r\n\xff") and r.get("b"))
    call("mset", True, lambda: r.mset({"c": "1", "d": "2"}))
    call("mget", [b"1", b"2", None], lambda: r.mget("c", "d", "nothing"))
    call("msetnx", False, lambda: r.msetnx({"c": "1", "e": "2"}))
    call("exists", 2, lambda: r.exists("c", "d", "nothing"))
    call("incr", 2, lambda: r.incr("c"))
    call("incr by", 12, lambda: r.incr("c", 10))
    call("decr", 11, lambda: r.decr("c"))
    call("decr by", 1, lambda: r.decr("c", 10))
    call("incrbyfloat", 1.5, lambda: r.incrbyfloat("c", 0.5))
    call("setnx", False, lambda: r.setnx("c", "1"))
    call("setex", True, lambda: r.setex("e", 100, "1"))
    call("psetex", True, lambda: r.psetex("e", 100_000, "1"))
    call("getset", b"1", lambda: r.getset("e", "2"))
    call("getex", b"2", lambda: r.getex("e", ex=100))
    call("getdel", b"2", lambda: r.getdel("e"))
    call("append", 3, lambda: r.append("f", "abc"))
    call("strlen", 3, lambda: r.strlen("f"))
    call("getrange", b"bc", lambda: r.getrange("f", 1, -1))
    call("setrange", 4, lambda: r.setrange("f", 2, "xy"))
    call("expire", True, lambda: r.expire("f", 100))
    call("expire nx", False, lambda: r.expire("f", 100, nx=True))
    call("pexpire", True, lambda: r.pexpire("f", 100_000))
    call("expireat", True, lambda: r.expireat("f", int(time.time()) + 100))
    call("pexpireat", True, lambda: r.pexpireat("f", int(time.time() * 1000) + 100_000))
    call("expiretime", lambda got: got > 1_700_000_000, lambda: r.expiretime("f"))
    call("type", b"string", lambda: r.type("f"))
    call("touch", 1, lambda: r.touch("f", "nothing"))
    call("rename", True, lambda: r.rename("f", "g"))
    call("renamenx", False, lambda: r.renamenx("g", "a"))
    call("randomkey", lambda got: isinstance(got, bytes), r.randomkey)
    call("keys", [b"c"], lambda: r.keys("[c]*"))
    call("scan_iter", [b"a", b"b", b"c", b"d", b"g"], lambda: sorted(r.scan_iter(count=2)))
    call("scan_iter match", [b"a"], lambda: list(r.scan_iter(match="a*")))
    call("unlink", 1, lambda: r.unlink("g"))
    call("delete", 1, lambda: r.delete("d", "nothing"))
    call("dbsize", 3, r.dbsize)
    call("pipeline", [True, 1, b"1"], lambda: r.pipeline(False).set("p", 0).incr("p").get("p").execute())
    call("transaction", [True, 1, b"1"], lambda: r.pipeline().set("p", 0).incr("p").get("p").execute())
    call("watch", [2], lambda: r.transaction(lambda pipe: pipe.multi() or pipe.incr("p"), "p"))
    call("error", "ERR", lambda: error_code(lambda: r.incr("b")))
    call("client id", lambda got: got > 0, r.client_id)
    call("client setname", True, lambda: r.client_setname("name"))
    call("client list", lambda got: len(got) >= 1 and "id" in got[0], r.client_list)
    call("info", lambda got: got["redis_mode"] == "standalone", r.info)
    call("config get", {"maxmemory": "0"}, lambda: text(r.config_get("maxmemory")))
    call("time", lambda got: abs(got[0] - time.time()) < 10, r.time)
    call("echo", b"x", lambda: r.echo("x"))
    call("flushdb", True, r.flushdb)


def error_code(call):
    try:
        call()
    except redis.ResponseError as error:
        # redis-py removes the code from errors whose code is ERR.
        return "ERR" if "not an integer" in str(error) else str(error)


def text(items):
    return {as_text(name): as_text(value) for name, value in items.items()}


def as_text(item):
    return item.decode() if isinstance(item, bytes) else item


for protocol in (None, 2, 3):
    options = {} if protocol is None else {"protocol": protocol}
    try:
        client = redis.Redis(port=port, **options)
        ordinary(client, protocol)
    except Exception as error:
        calls(f"connect (protocol {protocol})", None, lambda: repr(error))
calls.end()
