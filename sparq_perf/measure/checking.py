"""The correctness pass: before anything is timed, each contender against the float64 reference on its geometry."""

from sparq_perf.measure.correctness import Steps, largest_error
from sparq_perf.measure.observing import Place
from sparq_perf.measure.passes import Site
from sparq_profiles import AttentionShape, ConfigError, SparqConfig


class Checker:
    """Finds each contender's error once, which compiles it too; its kernels are then ready to be timed."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._steps = Steps()
        self._errors: dict[tuple[AttentionShape, SparqConfig | None, str], float] = {}

    def refusal(self, place: Place) -> str | None:
        """Why an implementation cannot take this at all, such as a backend without a kernel for the device."""
        self._site.progress.stage(f"correctness: {place.contender.implementation}, {place.group.model}")
        try:
            self.error(place)
        except ConfigError as refusal:
            return str(refusal)
        return None

    def error(self, place: Place) -> float:
        """Largest absolute difference from the reference; ConfigError where the implementation refuses."""
        shape, contender = place.group.shape, place.contender
        # One check serves all lengths and batches of a geometry: its own sequence is cut short anyway.
        checked = AttentionShape(1, 10**6, shape.n_heads, shape.n_kv_heads, shape.head_dim, shape.dtype)
        key = (checked, contender.config, contender.implementation)
        if key not in self._errors:
            site, implementation = self._site, contender.implementation
            self._errors[key] = largest_error(
                checked, contender.config, implementation, site.seed, site.machine.device, self._steps
            )
        return self._errors[key]

    def forget(self) -> None:
        """Give back what checking took; errors that were found are kept."""
        self._steps.forget()
