"""Element sizes of weights and of the KV cache."""

from dataclasses import dataclass
from typing import TypeVar

from sparq_profiles import ConfigError, HardwareProfile
from sparq_profiles.hardware import PeakName

Format = TypeVar("Format")


@dataclass(frozen=True, slots=True)
class WeightFormat:
    """How weights are stored.

    Attributes:
        matrix_bytes: per weight of a layer's matrices, group scales included.
        table_bytes: per weight of the embedding, the LM head, norms and biases: most quantised checkpoints keep
            them in 16 bits.
        peak: the arithmetic that multiplies them, where the device names it; else its 16-bit one.
    """

    name: str
    matrix_bytes: float
    table_bytes: float
    peak: PeakName

    def peak_flop_per_s(self, hardware: HardwareProfile) -> float:
        """Dense peak of the multiplication; weights that the device cannot multiply are widened to 16 bits first."""
        found = hardware.peak_flop_per_s.get(self.peak)
        return (found or hardware.peak_for("bfloat16")).value


@dataclass(frozen=True, slots=True)
class KvFormat:
    """How the KV cache is stored; scales of an 8-bit cache are one number a tensor, not counted."""

    name: str
    element_bytes: int


WEIGHTS = {
    "float32": WeightFormat("float32", 4, 4, "float32"),
    "float16": WeightFormat("float16", 2, 2, "float16"),
    "bfloat16": WeightFormat("bfloat16", 2, 2, "bfloat16"),
    "float8": WeightFormat("float8", 1, 2, "float8"),
    # One 16-bit scale for each group of 128 weights, as GPTQ and AWQ checkpoints have.
    "int4": WeightFormat("int4", 0.5 + 2 / 128, 2, "bfloat16"),
    # llama.cpp's 8 bits: one 16-bit scale for each 32 weights, the embedding and the LM head included.
    "q8_0": WeightFormat("q8_0", 34 / 32, 34 / 32, "bfloat16"),
}
KV = {
    "float32": KvFormat("float32", 4),
    "float16": KvFormat("float16", 2),
    "bfloat16": KvFormat("bfloat16", 2),
    "float8": KvFormat("float8", 1),
}
SHORT = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "fp8": "float8"}


def weight_format(name: str) -> WeightFormat:
    """A weight format by its name or its short one.

    Raises:
        ConfigError: unknown name.
    """
    return _known("weights", name, WEIGHTS)


def kv_format(name: str) -> KvFormat:
    """A KV cache format by its name or its short one.

    Raises:
        ConfigError: unknown name.
    """
    return _known("kv", name, KV)


def _known(what: str, name: str, formats: dict[str, Format]) -> Format:
    found = formats.get(SHORT.get(name, name))
    if found is None:
        raise ConfigError(f"{what} is {name!r}: choose one of {', '.join(formats)}")
    return found
