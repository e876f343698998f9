"""The counted pass: bytes that a contender's Triton kernels access, counted in a process of its own after all timing.

Triton decides on import whether it interprets or compiles, so the process that measures a GPU cannot count. A cache of
the size that is worth timing takes the interpreter minutes: only small ones are counted here, and `sparq-perf traffic`
shows that the formulas hold for the rest.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from typing import Any

from sparq_kernels import KVCache, find_implementation
from sparq_kernels.registry import INTERPRET
from sparq_perf.measure.inputs import cache_bytes
from sparq_perf.measure.observing import Place
from sparq_perf.measure.passes import Site
from sparq_perf.measure.plan import Group
from sparq_perf.records.reading import Absence
from sparq_perf.records.schema import Counted, CountedBytes, PassName

# Some seconds each in the interpreter.
LARGEST_CACHE_BYTES = 16e6
TIMEOUT_S = 300.0


class CountedPass:
    """Counts small contenders that are written in Triton, and says of the others why not.

    Args:
        site: where records go.
        architecture: whose launch parameters the measured kernels have, such as ``sm_90``, and its multiprocessors,
            for which the kernels split long sequences; None where the kernels do not run.
    """

    name: PassName = "counted"

    def __init__(self, site: Site, architecture: tuple[str, int] | None) -> None:
        self._site, self._architecture = site, architecture
        self._waiting: list[Place] = []

    def make(self, group: Group, cache: KVCache) -> None:
        """Note what is to be counted; record why the rest is not."""
        for place in self._site.state.lacking(self.name, group):
            why = self._refusal(place)
            if why is None:
                self._waiting.append(place)
            else:
                self._site.record(self.name, Counted, place, {"absence": why})

    def finish(self) -> None:
        """Count, all in one process."""
        if not self._waiting or self._architecture is None:
            return
        self._site.progress.stage(f"counted bytes of {len(self._waiting)} small configurations")
        answers, ended = _ask_child([_plan(place) for place in self._waiting], *self._architecture)
        for index, place in enumerate(self._waiting):
            self._site.record(self.name, Counted, place, self._fields(answers, index, ended))
        self._waiting = []

    def _fields(self, answers: list[str], index: int, ended: str) -> dict[str, Any]:
        assert self._architecture is not None
        if index >= len(answers):
            return {"absence": Absence(kind="failed", detail=f"counting stopped: {ended}")}
        answer = json.loads(answers[index])
        if "error" in answer:
            return {"absence": Absence(kind="failed", detail=f"counting failed: {answer['error']}")}
        steps = tuple(CountedBytes(**step) for step in answer["steps"])
        return {"architecture": self._architecture[0], "steps": steps}

    def _refusal(self, place: Place) -> Absence | None:
        entry = find_implementation(place.contender.implementation)
        if not entry.interpretable:
            return Absence(kind="not_supported", detail="counting runs Triton kernels in Triton's interpreter")
        if self._architecture is None:
            return Absence(kind="not_supported", detail="counting follows the launch parameters of a GPU")
        needed = cache_bytes(place.group.shape, place.group.k_layout)
        if needed > LARGEST_CACHE_BYTES:
            return Absence(
                kind="not_asked",
                detail=f"the KV cache takes {needed / 1e6:,.0f} MB and the interpreter a few MB a second: "
                "'sparq-perf traffic' counts smaller ones",
            )
        return None


def _ask_child(plan: list[dict[str, Any]], architecture: str, n_multiprocessors: int) -> tuple[list[str], str]:
    """Whole lines that the child printed, and its last words."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "sparq_perf.measure.counted_child", architecture, str(n_multiprocessors)],
            input=json.dumps(plan).encode(),
            env={**os.environ, INTERPRET: "1", "CUDA_VISIBLE_DEVICES": ""},
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        printed, ended = done.stdout, (done.stderr.decode(errors="replace").strip().splitlines() or ["no word"])[-1]
    except subprocess.TimeoutExpired as late:
        printed, ended = late.stdout or b"", f"it took more than {TIMEOUT_S:g} s"
    return printed.decode().split("\n")[:-1], ended


def _plan(place: Place) -> dict[str, Any]:
    config = place.contender.config
    return {
        "implementation": place.contender.implementation,
        "shape": asdict(place.group.shape),
        "config": None if config is None else asdict(config),
        "k_layout": place.group.k_layout,
    }
