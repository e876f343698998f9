import importlib.util
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def nvidia_tools() -> None:
    """Skips where Triton came without NVIDIA's assembler and the tools that read what it writes."""
    found = importlib.util.find_spec("triton")
    if found is None or found.origin is None:
        pytest.skip(f"there is no Triton for {sys.platform}")
    folder = Path(found.origin).parent / "backends" / "nvidia" / "bin"
    missing = [tool for tool in ("ptxas", "cuobjdump", "nvdisasm") if not (folder / tool).is_file()]
    if missing:
        pytest.skip(f"this Triton came without NVIDIA's {', '.join(missing)}")
