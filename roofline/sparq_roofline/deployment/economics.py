"""What a step's time means in tokens, money and energy."""

from dataclasses import dataclass

from sparq_roofline.deployment.span import Amount, Span

SECONDS_PER_H = 3600.0


@dataclass(frozen=True, slots=True)
class Rates:
    """Of one machine of ``n_gpus`` while it decodes; None where price or power is unknown."""

    tokens_per_s: Span
    tokens_per_s_per_gpu: Span
    usd_per_mtok: Span | None
    energy_per_token_j: Span | None


def rates(
    tpot_s: Span,
    *,
    batch: Amount,
    n_gpus: int,
    price_usd_per_h: float | None,
    power_limit_w: float | None,
    power_share: tuple[float, float, float],
) -> Rates:
    """Rates from the time per output token; ``price_usd_per_h`` and ``power_limit_w`` are of one GPU."""
    tokens_per_s = tpot_s.into(batch)
    seconds_per_token = tpot_s.times(n_gpus / batch)
    price = None if price_usd_per_h is None else seconds_per_token.times(price_usd_per_h / SECONDS_PER_H * 1e6)
    energy = None
    if power_limit_w is not None:
        ends = (seconds_per_token.lower, seconds_per_token.expected, seconds_per_token.upper)
        energy = Span(*(end * power_limit_w * share for end, share in zip(ends, power_share, strict=True)))
    return Rates(tokens_per_s, tokens_per_s.times(1 / n_gpus), price, energy)
