"""Calls of dogpile.cache's backend for Redis: dogpile_cache.py PORT"""

import sys

from calls import Calls
from dogpile.cache import make_region
from dogpile.cache.api import NO_VALUE

call = Calls()
arguments = {"host": "127.0.0.1", "port": int(sys.argv[1]), "redis_expiration_time": 100}
region = make_region().configure("dogpile.cache.redis", expiration_time=60, arguments=arguments)
call("delete of nothing", None, lambda: region.delete("a"))
call("get of nothing", lambda got: got is NO_VALUE, lambda: region.get("a"))
call("set", None, lambda: region.set("a", {"x": [1, 2]}))
call("get", {"x": [1, 2]}, lambda: region.get("a"))
call("set_multi", None, lambda: region.set_multi({"m": 1, "n": 2}))
call("get_multi", [1, 2], lambda: region.get_multi(["m", "n"]))
call("get_or_create", 7, lambda: region.get_or_create("o", lambda: 7))
call("get_or_create again", 7, lambda: region.get_or_create("o", lambda: 8))
call("get_or_create_multi", [1, 5], lambda: region.get_or_create_multi(["m", "q"], lambda *_: [5]))
call("delete", None, lambda: region.delete("a"))
call("delete_multi", None, lambda: region.delete_multi(["m", "n", "o", "q"]))
call("get after delete", lambda got: got is NO_VALUE, lambda: region.get("m"))
call.end()
