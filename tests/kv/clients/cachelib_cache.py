"""Calls of cachelib's cache for Redis: cachelib_cache.py PORT"""

import sys

from cachelib import RedisCache
from calls import Calls

call, cache = Calls(), RedisCache(port=int(sys.argv[1]), key_prefix="p:")
call("clear of nothing", lambda _: True, cache.clear)
call("set", True, lambda: cache.set("a", {"x": [1, 2]}, 100))
call("set without an end", True, lambda: cache.set("b", 1, -1))
call("get", {"x": [1, 2]}, lambda: cache.get("a"))
call("get of nothing", None, lambda: cache.get("nothing"))
call("add of what exists", False, lambda: cache.add("a", 1))
call("add", True, lambda: cache.add("c", 1, 100))
call("has", True, lambda: cache.has("c"))
call("set_many", lambda got: got in (True, ["m", "n"]), lambda: cache.set_many({"m": 1, "n": 2}, 100))
call("get_many", [1, 2, None], lambda: cache.get_many("m", "n", "nothing"))
call("get_dict", {"m": 1}, lambda: cache.get_dict("m"))
call("inc", 2, lambda: cache.inc("number", 2))
call("dec", 1, lambda: cache.dec("number"))
call("delete", True, lambda: cache.delete("a"))
call("delete_many", lambda got: got in (True, ["m", "n"]), lambda: cache.delete_many("m", "n"))
call("clear", True, cache.clear)
call("get after clear", None, lambda: cache.get("b"))
call.end()
