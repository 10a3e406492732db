"""Kubernetes' quantities as numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.systems.cluster.quantities import quantity
from workers.systems.errors import Nonsense


@given(st.integers(0, 10**6), st.sampled_from([("", 1), ("k", 10**3), ("Ki", 2**10), ("Mi", 2**20), ("Gi", 2**30)]))
def test_quantities(number, suffix):
    assert quantity(f"{number}{suffix[0]}") == number * suffix[1]


@given(st.integers(0, 10**9))
def test_thousandths(number):
    assert float(quantity(f"{number}m")) == pytest.approx(number / 1000)


@pytest.mark.parametrize("text", ["", "much", "1Xi", "--1", "NaN", "Infinity", "1e400"])
def test_an_amount_that_is_none_is_nonsense(text):
    with pytest.raises(Nonsense):
        quantity(text)
