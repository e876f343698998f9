"""A dense and a SparQ implementation of a calibration, side by side."""

from dataclasses import replace

from sparq_profiles import AttentionShape, ConfigError, SparqConfig
from sparq_roofline.calibration.calibration import Calibration
from sparq_roofline.calibration.points import OwnTraffic
from sparq_roofline.prediction import Prediction, predict, speedup_of


def choose_pair(calibration: Calibration, implementations: tuple[str, str] | None = None) -> tuple[str, str]:
    """Names of the dense and the SparQ implementation: those given, or the only ones.

    Raises:
        ConfigError: none of a kind, several and none given, or a name that is not of its kind; the message has those
            there are.
    """
    kinds = {
        kind: sorted({entry.implementation for entry in calibration.implementations if entry.is_dense is dense})
        for kind, dense in (("dense", True), ("SparQ", False))
    }
    chosen = []
    for (kind, names), given in zip(kinds.items(), implementations or (None, None), strict=True):
        listed = ", ".join(names) or "none"
        if given is None and len(names) != 1:
            raise ConfigError(f"calibration: name its dense and its SparQ implementation: of {kind} it has {listed}")
        if given is not None and given not in names:
            raise ConfigError(f"calibration: {given!r} is no {kind} implementation of it: it has {listed}")
        chosen.append(given or names[0])
    return chosen[0], chosen[1]


def predict_pair(
    calibration: Calibration,
    implementations: tuple[str, str],
    shape: AttentionShape,
    config: SparqConfig,
    *,
    own_traffic: OwnTraffic | None = None,
) -> Prediction:
    """Both sides by their models: the attention operator alone, as it was measured.

    Raises:
        ConfigError: as for `Calibration.predict`.
    """
    bare = predict(calibration.hardware, shape, config, include_append=False)
    dense_name, sparq_name = implementations
    dense = calibration.predict(dense_name, shape, None, own_traffic=own_traffic)
    sparq = calibration.predict(sparq_name, shape, config, own_traffic=own_traffic)
    return replace(bare, dense=dense, sparq=sparq, speedup=speedup_of(dense, sparq))
