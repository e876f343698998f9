"""`size`: a model and candidate hardware in, GPUs, batch, latency, cost and a recommendation out."""

from collections.abc import Sequence
from dataclasses import dataclass

from sparq_profiles import ConfigError, HardwareProfile
from sparq_profiles.shape import K_LAYOUTS, KLayout
from sparq_roofline.deployment.assumptions import Assumption, stated
from sparq_roofline.deployment.candidates import Demand, Placement, place
from sparq_roofline.deployment.choosing import Recommendation, recommend
from sparq_roofline.deployment.formats import WeightFormat
from sparq_roofline.deployment.measured_settings import MeasuredSettings
from sparq_roofline.deployment.parameters import count_parameters
from sparq_roofline.deployment.question import Question
from sparq_roofline.deployment.recipe import RANKS, TOP_K, rank_within, settings
from sparq_roofline.deployment.rows import Row, Setting, absent_row, build_row
from sparq_roofline.deployment.step_time import step_time


@dataclass(frozen=True, slots=True)
class Sizing:
    """The answer, row by row, and what it rests on.

    Attributes:
        setting: the recipe's or the fixed one; of measured ones that of the best device's best layout.
        measured: what rows chose their settings from; None where one was taken for all.
        rows: for each device dense first, then SparQ with each K layout.
        recommendations: one for each device on which anything fits.
        best: the device whose recommendation is cheapest a token, or fastest a GPU where a price is missing.
        ranked_by: which of the two.
    """

    model: str
    weights: str
    kv: str
    demand: Demand
    setting: Setting | None
    setting_reason: str | None
    measured: MeasuredSettings | None
    rows: tuple[Row, ...]
    recommendations: tuple[Recommendation, ...]
    best: str | None
    ranked_by: str
    warnings: tuple[str, ...]
    assumptions: tuple[Assumption, ...]

    @property
    def taken(self) -> tuple[Setting, ...]:
        """The settings of all rows, each once."""
        return tuple(dict.fromkeys(row.setting for row in self.rows if row.setting is not None))

    def setting_of(self, hardware: str, k_layout: KLayout) -> Setting | None:
        """What a device's row of one layout has."""
        rows = (row for row in self.rows if row.hardware == hardware and row.k_layout == k_layout)
        return next((row.setting for row in rows), None)


def size(question: Question) -> Sizing:
    """Size a deployment; what does not fit or is unknown becomes a row or field with its reason, never an error.

    Raises:
        ConfigError: an unknown format, a rank above head_dim, or a model that is no dense decoder.
    """
    count_parameters(question.model)
    settings, reason = _settings(question)
    rows: list[Row] = []
    recommendations = []
    for hardware in question.hardware:
        bench = _Bench(question, hardware, settings, reason)
        found = [bench.row(layout) for layout in ATTENTIONS]
        rows += found
        # Rows stand at the fewest GPUs that each attention needs; they are compared on equal numbers of GPUs.
        needed = sorted({row.n_gpus for row in found if row.n_gpus is not None})
        even = {n: [row if row.n_gpus == n else bench.row(row.k_layout, n) for row in found] for n in needed}
        chosen = recommend(even, reason)
        recommendations += [] if chosen is None else [chosen]
    best, ranked_by = _best(recommendations)
    served = question.served()
    return Sizing(
        model=question.model.name,
        weights=served.weights.name,
        kv=served.kv.name,
        demand=question.demand,
        setting=_foremost(settings, rows, recommendations, best),
        setting_reason=reason,
        measured=question.settings,
        rows=tuple(rows),
        recommendations=tuple(recommendations),
        best=best,
        ranked_by=ranked_by,
        warnings=_warnings(question, served.weights),
        assumptions=stated(question.demand.reserve_fraction, question.power_share),
    )


ATTENTIONS: tuple[KLayout | None, ...] = (None, *K_LAYOUTS)


@dataclass(frozen=True, slots=True)
class _Bench:
    """One device with the question, on which rows are made."""

    question: Question
    hardware: HardwareProfile
    settings: tuple[Setting, ...]
    reason: str | None

    def row(self, layout: KLayout | None, only: int | None = None) -> Row:
        """Dense (None) or SparQ with a layout, on the fewest GPUs or on ``only`` so many."""
        if layout is None:
            return self._row(None, None, only)
        if not self.settings:
            return absent_row(self.hardware, layout, None, self.question.demand, self.reason or "no setting")
        return self._row(self._best(layout, only), layout, only)

    def _row(self, setting: Setting | None, layout: KLayout | None, only: int | None) -> Row:
        placed = self._place(setting, layout, only)
        if isinstance(placed, str):
            return absent_row(self.hardware, layout, setting, self.question.demand, placed)
        return build_row(
            self.hardware,
            self.question.served(),
            self.question.demand,
            setting,
            layout,
            placed,
            price_usd_per_h=self.question.price_usd_per_h(self.hardware),
            power_share=self.question.power_share,
            attention=self.question.attention,
            evidence=self.question.evidence_of(self.hardware),
        )

    def _place(self, setting: Setting | None, layout: KLayout | None, only: int | None) -> Placement | str:
        question = self.question
        config = setting.config(layout) if setting and layout else None
        return place(self.hardware, question.served(), question.demand, config, question.attention, only)

    def _best(self, layout: KLayout, only: int | None) -> Setting:
        """The setting on the fewest GPUs, of those with the most tokens a second, of those with fewest transfers.

        Where batch and GPUs are equal that is the one with the best speedup of the step.
        """
        if len(self.settings) == 1:
            return self.settings[0]

        def rank(setting: Setting) -> tuple[float, float, float]:
            placed = self._place(setting, layout, only)
            if isinstance(placed, str):
                return (float("inf"), 0.0, setting.transfer_ratio)
            question, batch = self.question, placed.batch
            config, seq_len = setting.config(layout), question.demand.seq_len
            time = step_time(self.hardware, question.served(), placed.held, batch, seq_len, config, question.attention)
            return (placed.held.n_gpus, -batch / float(time.total.expected), setting.transfer_ratio)

        return min(self.settings, key=rank)


def _settings(question: Question) -> tuple[tuple[Setting, ...], str | None]:
    """What rows may have, and why there is nothing."""
    top_k = TOP_K if question.top_k is None else question.top_k
    demand, model, measured = question.demand, question.model, question.settings
    if measured is not None:
        found = [Setting.of(model, one.config, demand.seq_len, one.loss) for one in measured.within]
        return tuple(found), measured.reason
    if question.rank is not None:
        return (Setting.of(model, settings(model, rank=question.rank, top_k=top_k), demand.seq_len),), None
    try:
        rank = rank_within(model, seq_len=demand.seq_len, top_k=top_k, budget=question.budget)
    except ConfigError as error:
        return (), str(error)
    return (Setting.of(model, settings(model, rank=rank, top_k=top_k), demand.seq_len),), None


def _foremost(
    found: Sequence[Setting], rows: Sequence[Row], chosen: Sequence[Recommendation], best: str | None
) -> Setting | None:
    """The only setting, or that of the recommended layout on the best device, or of its first SparQ row."""
    if len(found) < 2:
        return found[0] if found else None
    layout = next((item.k_layout for item in chosen if item.hardware == best), None)
    ordered = sorted(rows, key=lambda row: (row.hardware != best, row.k_layout != layout))
    return next((row.setting for row in ordered if row.setting is not None), found[0])


def _best(recommendations: Sequence[Recommendation]) -> tuple[str | None, str]:
    if not recommendations:
        return None, "nothing fits"
    if all(item.usd_per_mtok is not None for item in recommendations):
        return min(recommendations, key=lambda item: item.usd_per_mtok or 0.0).hardware, "usd_per_mtok"
    return max(recommendations, key=lambda item: item.tokens_per_s_per_gpu).hardware, "tokens_per_s_per_gpu"


def _warnings(question: Question, weights: WeightFormat) -> tuple[str, ...]:
    model, demand = question.model, question.demand
    found = []
    if demand.tokens > model.max_seq_len:
        found.append(
            f"context + output is {demand.tokens:,} tokens and {model.name} was made for {model.max_seq_len:,}: "
            "times and bytes hold, the text it writes may not"
        )
    if model.windowed_layers:
        found.append(
            f"{model.windowed_layers} of {model.n_layers} layers see the last {model.sliding_window:,} tokens only"
        )
    if model.n_parameters is None:
        found.append(
            f"{model.name} states no n_parameters: {count_parameters(model).total:,} were counted from its geometry "
            f"as for a decoder of the kind {model.architecture!r}"
        )
    if question.settings is not None:
        found += question.settings.warnings(demand.context)
    if question.rank is not None and question.rank not in RANKS:
        found.append(f"rank {question.rank} is outside the range that the authors tune, {RANKS[0]} to {RANKS[-1]}")
    missing = [profile.name for profile in question.hardware if weights.peak not in profile.peak_flop_per_s]
    if weights.peak == "float8" and missing:
        found.append(f"no float8 arithmetic on {', '.join(missing)}: weights are widened to 16 bits there")
    return tuple(found)
