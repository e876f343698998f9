"""What is asked of a sizing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sparq_profiles import ConfigError, HardwareProfile, ModelProfile
from sparq_roofline.deployment.assumptions import POWER_SHARE
from sparq_roofline.deployment.attention import AttentionTime, datasheet_time
from sparq_roofline.deployment.candidates import Demand
from sparq_roofline.deployment.formats import kv_format, weight_format
from sparq_roofline.deployment.measured_settings import MeasuredSettings
from sparq_roofline.deployment.recipe import TRANSFER_BUDGET
from sparq_roofline.deployment.served import Served
from sparq_roofline.interval import Evidence


@dataclass(frozen=True, slots=True)
class Question:
    """A model, candidates and a demand, with what a caller may fix.

    Attributes:
        weights, kv: names of `formats`; None takes the model's own type.
        budget: SparQ's transfers are to be at most 1/``budget`` of dense ones.
        rank, top_k: fixed settings instead of the recipe's.
        settings: measured ones instead of the recipe's and fixed ones; each device and layout takes its best.
        prices_usd_per_h: of one GPU by profile name, instead of the profile's.
        power_share: lower, expected and upper mean power as a share of the limit.
        attention: the attention model: the roofline, unless a calibrated one takes its place.
        evidence: its label by device; others have their own, ``measured`` or ``datasheet``.
    """

    model: ModelProfile
    hardware: Sequence[HardwareProfile]
    demand: Demand
    weights: str | None = None
    kv: str | None = None
    budget: float = TRANSFER_BUDGET
    rank: int | None = None
    top_k: int | None = None
    settings: MeasuredSettings | None = None
    prices_usd_per_h: Mapping[str, float] = field(default_factory=dict)
    power_share: tuple[float, float, float] = POWER_SHARE
    attention: AttentionTime = field(default=datasheet_time)
    evidence: Mapping[str, Evidence] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = {profile.name for profile in self.hardware}
        if len(known) < len(self.hardware):
            raise ConfigError("hardware: a device is named twice: name each once")
        for name, price in self.prices_usd_per_h.items():
            if name not in known:
                sized = ", ".join(sorted(known))
                raise ConfigError(f"price of {name!r}: it is not among the hardware that is sized: {sized}")
            if not 0 < price < float("inf"):
                raise ConfigError(f"price of {name!r} is {price!r}: it must be above 0")
        for name in self.evidence:
            if name not in known:
                raise ConfigError(
                    f"{name} is calibrated and not among the hardware that is sized: {', '.join(sorted(known))}"
                )
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError(f"top_k is {self.top_k!r}: it must be a whole number of at least 1")
        if self.settings is not None and (self.rank is not None or self.top_k is not None):
            raise ConfigError("rank and top_k are fixed and measured settings are given: give one of the two")
        if not 1 <= self.budget < float("inf"):
            raise ConfigError(f"transfer ratio is {self.budget!r}: SparQ is to move 1/ratio of dense: give at least 1")

    def served(self) -> Served:
        """The model in the types asked for."""
        return Served(
            self.model,
            weight_format(self.weights or self.model.dtype),
            kv_format(self.kv or self.model.dtype),
        )

    def price_usd_per_h(self, hardware: HardwareProfile) -> float | None:
        """Price of one GPU, as given or by its profile."""
        given = self.prices_usd_per_h.get(hardware.name)
        listed = hardware.price_usd_per_h
        return given if given is not None else None if listed is None else listed.value

    def evidence_of(self, hardware: HardwareProfile) -> Evidence:
        """What a prediction for one device rests on."""
        if hardware.name in self.evidence:
            return self.evidence[hardware.name]
        return "measured" if hardware.memory_bandwidth_bytes_per_s.kind == "measured" else "datasheet"
