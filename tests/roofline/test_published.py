import pytest

from sparq_profiles import ProfileError
from sparq_profiles.load import load_hardware, load_model, parse
from sparq_profiles.published import Published, load_published
from sparq_roofline.interval import Interval
from sparq_roofline.published import PublishedComparison, compare_published


def test_end_to_end_speedups_lie_inside() -> None:
    rows = [row for row in compare_published() if "llama.cpp" in row.table]
    assert [row.published for row in rows] == [1.14, 1.26, 1.57, 1.73, 2.06, 2.54]
    for row in rows:
        assert row.inside, row
        # The interval is wide, since gathers on a CPU are: the expected value must be near too.
        assert row.predicted.expected == pytest.approx(row.published, rel=0.06)
        assert row.predicted.upper < 8.0  # attention's own
        assert row.evidence == "datasheet"


def test_dense_times_from_datasheets() -> None:
    rows = [row for row in compare_published() if row.quantity == "time_s"]
    assert [row.published for row in rows] == [49e-6, 128e-6]
    assert all(row.inside for row in rows)


def test_published_kernels_do_more_than_the_algorithm() -> None:
    # Half of their time is in neither the score pass nor the gather: from a datasheet they are slower than foretold.
    rows = [row for row in compare_published() if row.quantity == "speedup" and "attention" in row.where]
    assert len(rows) == 7
    assert all(row.published < row.predicted.expected for row in rows)
    assert {row.evidence for row in rows} == {"datasheet"}


def test_ends_count_as_inside() -> None:
    row = PublishedComparison("w", "x", "y", "z", "speedup", 2.0, Interval(1.0, 1.5, 2.0), "datasheet")
    assert row.inside


def test_every_row_has_a_device_and_a_source() -> None:
    published = load_published()
    assert "arXiv 2312.04985" in published.source
    for row in published.rows:
        assert load_hardware(row.hardware).name == row.hardware
    for steps in published.steps:
        assert load_hardware(steps.hardware).name == steps.hardware
        # r = d/12 and k = S/12: a twelfth of K, and of K and V again, is an eighth of both.
        assert load_model(steps.model).head_dim // 12 == steps.rank
        assert [seq_len // 12 for seq_len in steps.seq_len] == list(steps.top_k)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"quantity": "attention_speedup"}, "config and implementation must be given for an attention_speedup"),
        ({"implementation": "sparq-x"}, "config and implementation must be given"),
        ({"value": 0.0}, "value is 0.0: it should be greater than 0"),
    ],
)
def test_rows_that_cannot_be(change: dict[str, object], complaint: str) -> None:
    published = load_published().model_dump()
    published["rows"] = [{**published["rows"][0], **change}]
    with pytest.raises(ProfileError, match=complaint):
        parse(Published, published, "published.toml")
