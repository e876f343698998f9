"""Facts that need a process of their own: Triton decides on import whether it interprets kernels or compiles them."""

import json
import os
import subprocess
import sys
from collections.abc import Collection, Sequence
from typing import Any

from sparq_kernels.registry import INTERPRET
from sparq_perf.gate.errors import GateError

TIMEOUT_S = 1800.0


def ask(
    module: str, arguments: Sequence[str] = (), question: Any = None, *, interpret: bool, fine: Collection[int] = (0,)
) -> Any:
    """What a module prints as JSON.

    Args:
        module: run by ``python -m``.
        arguments: of its command line.
        question: JSON on its standard input.
        interpret: whether Triton interprets kernels there.
        fine: exit codes that leave an answer.

    Raises:
        GateError: another exit code, or no JSON; the message has its last words.
    """
    environment = {name: value for name, value in os.environ.items() if name != INTERPRET}
    if interpret:
        environment |= {INTERPRET: "1", "CUDA_VISIBLE_DEVICES": ""}
    try:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            input=json.dumps(question),
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GateError(f"python -m {module}: {error}") from None
    if done.returncode not in fine:
        raise GateError(
            f"python -m {module}: ended with exit code {done.returncode}: {_last_words(done.stderr or done.stdout)}"
        )
    try:
        return json.loads(done.stdout)
    except json.JSONDecodeError as error:
        raise GateError(f"python -m {module}: its answer is not JSON ({error})") from None


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
