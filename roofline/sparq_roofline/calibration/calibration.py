"""A device's calibration: the time models of its implementations, and what they were fitted to."""

from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sparq_profiles import AttentionShape, ConfigError, SparqConfig
from sparq_profiles.hardware import HardwareProfile
from sparq_profiles.quantity import Flag, Frozen, Positive
from sparq_profiles.shape import DType, KLayout
from sparq_roofline.calibration.model import TimeModel
from sparq_roofline.calibration.points import OwnTraffic, algorithm_traffic
from sparq_roofline.calibration.predicting import predict_calibrated
from sparq_roofline.prediction import TimePrediction
from sparq_roofline.steps import Traffic

Text = Annotated[str, Field(min_length=1)]
# Whose steps a model is fitted to: the algorithm's minimum, or the implementation's own.
Steps = Literal["algorithm", "own"]


class Provenance(Frozen):
    """Where a calibration came from.

    Attributes:
        device: as its driver or the measurements name it.
        created: date and time, ISO 8601.
        source, source_sha256: the file of the measurements, and its digest.
        seed, points, choice: how the points were chosen: at most so many of each implementation and layout of K.
        package_version: of sparq-perf.
    """

    device: Text
    created: Text
    source: Text
    source_sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
    seed: int
    points: Annotated[int, Field(ge=1)]
    choice: Literal["spread", "random"]
    package_version: Text


class SeenPoint(Frozen):
    """A measurement that a model was fitted to, and what the model makes of it.

    Attributes:
        disturbed: far slower than the others foretell, so that it counts for little.
    """

    shape: AttentionShape
    config: SparqConfig | None = None
    measured_s: Positive
    fitted_s: Positive
    disturbed: Flag = False


class LayoutModel(Frozen):
    """The time model for one layout of K; None for dense attention."""

    k_layout: KLayout | None = None
    model: TimeModel


class CalibratedImplementation(Frozen):
    """One implementation with one element type: its models and the points they were fitted to."""

    implementation: Text
    dtype: DType
    steps: Steps
    models: Annotated[tuple[LayoutModel, ...], Field(min_length=1)]
    points: tuple[SeenPoint, ...]

    @model_validator(mode="after")
    def _layouts_once(self) -> "CalibratedImplementation":
        layouts = [entry.k_layout for entry in self.models]
        if len(set(layouts)) < len(layouts):
            raise ValueError("models must have each k_layout once")
        if None in layouts and len(layouts) > 1:
            raise ValueError("models must be of one dense implementation, without k_layout, or of layouts of K")
        return self

    @property
    def is_dense(self) -> bool:
        """Whether this computes dense attention."""
        return self.models[0].k_layout is None

    def model_for(self, k_layout: KLayout | None) -> tuple[TimeModel, bool]:
        """The model for a layout, or another's where it was not measured; and whether it is the layout's own."""
        for entry in self.models:
            if entry.k_layout == k_layout:
                return entry.model, True
        return self.models[0].model, False


class Calibration(Frozen):
    """Everything that predictions of one device's implementations need.

    Attributes:
        hardware: the ceilings that the models were fitted under.
        skipped: implementations that have no model, each with the reason.
    """

    format_version: Literal[1] = 1
    provenance: Provenance
    hardware: HardwareProfile
    implementations: tuple[CalibratedImplementation, ...]
    skipped: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _implementations_once(self) -> "Calibration":
        names = [(entry.implementation, entry.dtype) for entry in self.implementations]
        if len(set(names)) < len(names):
            raise ValueError("implementations must have each implementation and dtype once")
        return self

    @cached_property
    def lookup(self) -> dict[str, tuple[CalibratedImplementation, ...]]:
        """Implementations by name, of every element type."""
        names = dict.fromkeys(entry.implementation for entry in self.implementations)
        return {name: tuple(e for e in self.implementations if e.implementation == name) for name in names}

    @cached_property
    def sector_bytes(self) -> int:
        """Smallest unit that the device's memory moves."""
        return int(self.hardware.sector_bytes.value)

    def find(self, implementation: str, dtype: DType | None = None) -> CalibratedImplementation:
        """An implementation's models: of that element type, or of another where that was not measured.

        Raises:
            ConfigError: an implementation that was not calibrated; the message names those that were.
        """
        named = self.lookup.get(implementation)
        if not named:
            known = ", ".join(sorted(self.lookup)) or "none"
            why = f" ({self.skipped[implementation]})" if implementation in self.skipped else ""
            raise ConfigError(f"calibration: no model of {implementation!r}{why}: it has {known}")
        for entry in named:
            if entry.dtype == dtype:
                return entry
        return named[0]

    def predict(
        self,
        implementation: str,
        shape: AttentionShape,
        config: SparqConfig | None,
        *,
        own_traffic: OwnTraffic | None = None,
        footprint_bytes: float | None = None,
    ) -> TimePrediction:
        """Time of one call with a 90 % interval, which widens outside what was seen; ``extrapolated`` says where.

        Args:
            implementation: as it was calibrated.
            shape, config: what it computes; None is dense attention.
            own_traffic: bytes and FLOPs of implementations that were fitted to their own steps.
            footprint_bytes: size of the data read over and over where caches are warm; None where they are cold.

        Raises:
            ConfigError: an implementation without a model, settings that it does not take, or own steps not given.
        """
        entry = self.find(implementation, shape.dtype)
        if entry.is_dense != (config is None):
            mend = "leave config out" if entry.is_dense else "give a SparqConfig"
            raise ConfigError(f"calibration: {implementation} computes {_kind(entry.is_dense)} attention: {mend}")
        model, of_layout = entry.model_for(config.k_layout if config else None)
        unseen: tuple[str, ...] = () if of_layout else ("k_layout",)
        if entry.dtype != shape.dtype:
            unseen = ("dtype", *unseen)
        traffic = self.traffic(entry, shape, config, own_traffic)
        return predict_calibrated(
            traffic, shape, config, self.hardware, model, footprint_bytes=footprint_bytes, unseen=unseen
        )

    def traffic(
        self,
        entry: CalibratedImplementation,
        shape: AttentionShape,
        config: SparqConfig | None,
        own_traffic: OwnTraffic | None,
    ) -> Traffic:
        """Bytes and FLOPs of the steps that an implementation's models are fitted to."""
        if entry.steps == "algorithm":
            return algorithm_traffic(shape, config, sector_bytes=self.sector_bytes)
        if own_traffic is None or entry.implementation not in own_traffic:
            raise ConfigError(
                f"calibration: {entry.implementation} was fitted to its own steps: give them as own_traffic"
            )
        return own_traffic[entry.implementation](shape, config)


def _kind(dense: bool) -> str:
    return "dense" if dense else "SparQ"
