"""Calls of Django's cache for Redis: django_cache.py PORT"""

import sys

import django
from calls import Calls
from django.conf import settings

backend = "django.core.cache.backends.redis.RedisCache"
settings.configure(CACHES={"default": {"BACKEND": backend, "LOCATION": f"redis://127.0.0.1:{sys.argv[1]}"}})
django.setup()

from django.core.cache import cache

call = Calls()
call("clear", lambda _: True, cache.clear)
call("set", None, lambda: cache.set("a", {"x": [1, 2]}, 100))
call("get", {"x": [1, 2]}, lambda: cache.get("a"))
call("get of nothing", "default", lambda: cache.get("nothing", "default"))
call("add of what exists", False, lambda: cache.add("a", 1))
call("add", True, lambda: cache.add("b", 1, 100))
call("add for no time", lambda _: True, lambda: cache.add("c", 1, 0))
call("set without an end", None, lambda: cache.set("number", 1, None))
call("incr", 3, lambda: cache.incr("number", 2))
call("decr", 2, lambda: cache.decr("number"))
call("get of a number", 2, lambda: cache.get("number"))
call("touch", True, lambda: cache.touch("a", 50))
call("touch without an end", True, lambda: cache.touch("b", None))
call("has_key", True, lambda: cache.has_key("a"))
call("set_many", [], lambda: cache.set_many({"m": 1, "n": 2}, 100))
call("set_many without an end", [], lambda: cache.set_many({"m": 1, "n": 2}, None))
call("get_many", {"m": 1, "n": 2}, lambda: cache.get_many(["m", "n", "nothing"]))
call("get_or_set", 7, lambda: cache.get_or_set("o", lambda: 7, 100))
call("delete", True, lambda: cache.delete("o"))
call("delete_many", None, lambda: cache.delete_many(["m", "n"]))
call("incr_version", 2, lambda: cache.incr_version("a"))
call("clear", lambda _: True, cache.clear)
call("get after clear", None, lambda: cache.get("b"))
call.end()
