"""Times of single points in every unit and from every zero that drivers use."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crossi2p_core.datasets.messages.point_times import seconds_after

STAMP = 1_700_000_000_123_456_789
AFTER = np.linspace(0, 0.1, 7)  # seconds


@pytest.mark.parametrize("unit", [1.0, 1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_times_within_the_scan_tell_their_unit(unit: float, dtype: type) -> None:
    for sign in (1, -1):  # some drivers stamp a scan at its end
        found = seconds_after((sign * AFTER / unit).astype(dtype), STAMP)
        np.testing.assert_allclose(found, sign * AFTER, rtol=1e-6)


@pytest.mark.parametrize("unit", [1.0, 1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize("stamp", [STAMP, 35_000_000_000])  # the second is a simulation's
def test_absolute_times_are_brought_to_the_stamp(unit: float, stamp: int) -> None:
    np.testing.assert_allclose(seconds_after((stamp * 1e-9 + AFTER) / unit, stamp), AFTER, atol=1e-6)


@pytest.mark.parametrize("unit", [1.0, 1e-3, 1e-6, 1e-9])
def test_times_of_another_clock_count_from_the_first_point(unit: float) -> None:
    for stamp in (0, 10**9, STAMP - 3600 * 10**9):
        np.testing.assert_allclose(seconds_after((STAMP * 1e-9 + AFTER) / unit, stamp), AFTER, atol=1e-6)


def test_whole_numbers_are_nanoseconds() -> None:
    np.testing.assert_allclose(seconds_after((AFTER * 1e9).astype(np.uint32), STAMP), AFTER, atol=1e-8)


@pytest.mark.parametrize("times", [
    np.array([1.7e9, 1.7e9 + 256], np.float32),  # float32 is minutes off
    np.array([0, 1.7e9]), np.array([-1e30, 1.0]), np.array([5.0, 1e200]),
])
def test_numbers_that_are_no_times_of_one_scan_are_left_out(times: np.ndarray) -> None:
    assert seconds_after(times, STAMP) is None


def test_one_broken_value_does_not_hide_the_unit_of_the_others() -> None:
    times = np.array([0, 50, np.nan, 100, np.inf], np.float32)
    found = seconds_after(times, STAMP)
    assert found is not None
    np.testing.assert_allclose(found[[0, 1, 3]], [0, 0.05, 0.1], rtol=1e-6)


@given(st.lists(st.floats(), max_size=5), st.integers(0, 2**62))
@example([3.4028236692093827e38], 0)
def test_any_numbers_give_times_of_a_scan_or_none(values: list[float], stamp: int) -> None:
    times = np.array(values)
    found = seconds_after(times, stamp)
    if found is not None:
        finite = found[np.isfinite(times)]
        assert (np.abs(finite) <= 2.0 + 1e-6).all()
