"""Numbers as the page shows them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from sparq_perf.report import wording
from sparq_roofline.interval import Interval


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1234.5, "1,234"),
        (0.012345, "0.0123"),
        (9.996, "10.0"),
        (99.96, "100"),
        (999.6, "1,000"),
        (1, "1.00"),
        (0, "0"),
        (-2.5, "-2.50"),
    ],
)
def test_three_significant_digits(value: float, shown: str) -> None:
    assert wording.significant(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1.5e-3, "1.50 ms"),
        (999.7e-6, "1.00 ms"),
        (2e-10, "200 ps"),
        (0, "0 s"),
        (61, "61.0 s"),
        (4.2e-13, "0.420 ps"),
    ],
)
def test_seconds_take_si_prefixes(value: float, shown: str) -> None:
    assert wording.seconds(value) == shown


def test_rounded_values_carry_no_zeros() -> None:
    assert wording.rounded_si(0.01, "s") == "10 ms"
    assert wording.rounded_si(2e9, "B/s") == "2 GB/s"
    assert wording.rounded_si(0, "s") == "0 s"


@pytest.mark.parametrize(
    ("value", "shown"), [(512, "512 B"), (2**20, "1 MiB"), (1.5 * 2**30, "1.50 GiB"), (2**40, "1 TiB")]
)
def test_sizes_are_binary(value: float, shown: str) -> None:
    assert wording.data_size(value) == shown


def test_tokens_count_in_1024() -> None:
    assert wording.tokens(4096) == "4k"
    assert wording.tokens(3000) == "3,000"
    assert wording.token_range([65536, 1024, 4096]) == "1k to 64k"
    assert wording.token_range([1024, 1024]) == "1k"


def test_percent_uses_a_minus_sign() -> None:
    assert wording.percent(-0.0312, signed=True) == "−3.1 %"
    assert wording.percent(0.0312, signed=True) == "+3.1 %"
    assert wording.percent(0.5) == "50.0 %"


def test_phrases() -> None:
    assert wording.listed([]) == ""
    assert wording.listed(["a"]) == "a"
    assert wording.listed(["a", "b", "c"]) == "a, b and c"
    assert wording.count(1, "point") == "1 point"
    assert wording.count(2, "point") == "2 points"
    assert wording.span(Interval(1.5, 2, 2.5), wording.times_faster) == "1.50× to 2.50×"
    assert [wording.duration(s) for s in (5, 312, 7380)] == ["5 s", "5 min 12 s", "2 h 3 min"]


def test_times_of_day_are_utc_or_say_that_no_zone_is_known() -> None:
    berlin = datetime(2026, 1, 2, 1, 30, tzinfo=timezone(timedelta(hours=1)))
    assert wording.moment(berlin) == "2026-01-02 00:30:00 UTC"
    assert wording.moment(datetime(2026, 1, 2, tzinfo=UTC).replace(tzinfo=None)).endswith("(no time zone recorded)")
