"""Calls of a client whose results are compared with what Redis returns."""

import sys


class Calls:
    """Makes calls, and remembers those that fail."""

    def __init__(self):
        self.failed = []

    def __call__(self, name, want, call):
        """Makes a call. `want` is its result, or a function that says whether the result is right."""
        try:
            got = call()
            is_right = want(got) if callable(want) else type(got) is type(want) and got == want
            if not is_right:
                self.failed.append(f"{name}: {got!r}, not {want!r}")
        except Exception as error:
            self.failed.append(f"{name}: {type(error).__name__}: {error}")

    def end(self):
        """Prints the calls that failed, or ok."""
        print("\n".join(self.failed) or "ok")
        sys.exit(1 if self.failed else 0)


def is_between(low, high):
    """A check for numbers that depend on the time that has passed."""
    return lambda got: low <= got <= high
