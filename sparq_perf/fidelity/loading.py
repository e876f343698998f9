"""A model and its tokenizer, from a folder, a GGUF file or the hub."""

import contextlib
import hashlib
import io
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparq_perf.llm.errors import LlmError

DEVICES = ("cpu", "cuda")
DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class LoadedModel:
    """A model in eval mode.

    Attributes:
        name: without a path, as records carry it.
    """

    name: str
    model: Any
    tokenizer: Any


def load_model(
    source: str, gguf_file: str | None = None, *, dtype: str = "float32", device: str = "cpu"
) -> LoadedModel:
    """Load a causal language model and its tokenizer.

    Args:
        source: a folder, or a model's name on the hub.
        gguf_file: name of a GGUF file in it.
        dtype: element type of the weights and of the KV cache.
        device: where it runs.

    Raises:
        LlmError: transformers missing, no such folder or file, or one that transformers cannot load.
    """
    if dtype not in DTYPES:
        raise LlmError(f"--dtype is {dtype!r}: choose one of {', '.join(DTYPES)}")
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging as transformers_logging
    except ImportError as error:
        raise LlmError(f"a language model needs transformers ({error}): pip install 'sparq-perf[llm]'") from None
    _check_files(source, gguf_file)
    if device not in DEVICES or (device == "cuda" and not torch.cuda.is_available()):
        raise LlmError(f"--device is {device!r}: choose cpu, or cuda where torch finds a GPU")
    options = {} if gguf_file is None else {"gguf_file": gguf_file}
    transformers_logging.disable_progress_bar()
    # It warns of things that nobody here can change, such as a config's old keys.
    transformers_logging.set_verbosity(logging.ERROR)
    try:
        # Reading a GGUF file draws a bar of its own.
        with contextlib.redirect_stderr(io.StringIO()):
            tokenizer = AutoTokenizer.from_pretrained(source, **options)
            model = AutoModelForCausalLM.from_pretrained(source, dtype=getattr(torch, dtype), **options)
    except (OSError, ValueError, ImportError) as error:
        raise LlmError(f"{source}: transformers cannot load it: {str(error).splitlines()[0]}") from None
    name = gguf_file or Path(source).name
    return LoadedModel(name.removesuffix(".gguf"), model.to(device).eval(), tokenizer)


def _check_files(source: str, gguf_file: str | None) -> None:
    folder = Path(source)
    if not folder.exists():
        if folder.is_absolute() or source.startswith(".") or source.count("/") != 1:
            raise LlmError(f"{source}: no such folder: give a model's folder, or its name on the hub as OWNER/NAME")
        return
    if not folder.is_dir():
        raise LlmError(f"{source}: is a file: give its folder, and a GGUF file's name by --gguf-file")
    found = sorted(path.name for path in folder.glob("*.gguf"))
    told = f"it holds {', '.join(found)}" if found else "it holds no .gguf"
    if gguf_file is not None and not (folder / gguf_file).is_file():
        raise LlmError(f"{folder / gguf_file}: no such file: {told}")
    if gguf_file is None and not (folder / "config.json").is_file():
        raise LlmError(f"{source}: holds no config.json, and {told}: name the file by --gguf-file")


def digest(paths: list[Path]) -> str:
    """SHA-256 of files, in the order given."""
    total = hashlib.sha256()
    for path in paths:
        total.update(path.read_bytes())
    return total.hexdigest()
