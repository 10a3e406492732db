"""A picture's axes: round values, none of which reads twice, as less than nothing, or as nothing with a fraction."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.operations.history import metrics
from workers.rendering.charts import Series, _ticks

TOP = st.floats(0.01, 1e12)
SHARE = st.one_of(st.just(0.0), st.just(-0.0), st.floats(-0.2, 0.95))


@pytest.mark.parametrize("metric", metrics.METRICS, ids=lambda metric: metric.name)
@given(TOP, SHARE)
def test_no_tick_reads_as_minus_nothing(metric, top, share):
    found = _ticks(Series("x", [], metric.shown, metric.units), top * share, top)
    words = [said for _, said in found]
    assert len(words) == len(set(words))
    assert not [said for said in words if said.startswith("-0 ") or said in {"-0", "-0.0", "0.0"}]
    assert all(top * share <= at <= top for at, _ in found)
