"""Times one callable in a process of its own: ``python -m … module:function seconds``; prints its samples as JSON."""

import importlib
import json
import sys
from collections.abc import Callable
from typing import Any

from sparq_perf.gate.running.callables import Timer


def find(name: str) -> Callable[[], Any]:
    """The callable of a ``module:function``; a dotted function is an attribute of an attribute."""
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    if not callable(found):
        raise TypeError(f"{name} is no function")
    function: Callable[[], Any] = found
    return function


def main() -> None:
    """Run it once, unseen; then time it. A function may carry ``sync`` and ``setup``, see `Timer`."""
    name, block_s = sys.argv[1], float(sys.argv[2])
    call = find(name)
    timer = Timer(sync=getattr(call, "sync", None), setup=getattr(call, "setup", None), block_s=block_s)
    call()
    timer.block(call)  # the first one sees cold caches and a slow clock
    print(json.dumps(timer.block(call).samples_s))


if __name__ == "__main__":
    main()
