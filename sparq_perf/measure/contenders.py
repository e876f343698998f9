"""What is timed against what."""

from dataclasses import dataclass

from sparq_profiles import SparqConfig


@dataclass(frozen=True, slots=True)
class Contender:
    """One implementation with its settings, timed against the others of its round."""

    implementation: str
    config: SparqConfig | None
