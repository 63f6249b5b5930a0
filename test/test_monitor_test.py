"""The sequential test: its sums, its bounds, its false alarms, and how soon it sees a move."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossi2p_core.monitor.config import MonitorConfig
from crossi2p_core.monitor.doubts import log_ratio, pages_sum
from crossi2p_core.monitor.evidence import Evidence, cannot_tell
from crossi2p_core.monitor.sequential import LENGTHS, SequentialTest, _likeness
from crossi2p_core.monitor.states import doubt_threshold, score_threshold

SIGMA = np.array([math.radians(0.12)] * 3 + [0.015] * 3)  # of a frame, as real ones have
PLAIN = MonitorConfig(alike=0.0, floor_deg=0.0, floor_m=0.0)


def frame(xi: np.ndarray, number: int = 0, doubt: float = math.nan) -> Evidence:
    return Evidence(str(number), xi, np.diag(SIGMA**2), doubt=doubt)


def first_alarm(errors: np.ndarray, config: MonitorConfig = PLAIN) -> int | None:
    """Number of the first frame whose score is above the threshold."""
    test = SequentialTest(config)
    for number, xi in enumerate(errors):
        reading = test.observe(frame(xi, number))
        if reading.usable >= config.least_frames and reading.score > score_threshold(config.false_alarms):
            return number
    return None


def test_the_score_is_the_highest_mean_in_its_sigmas() -> None:
    """Against a loop over all beginnings; no frame is far, so the mean is the weighted one."""
    config = MonitorConfig(window=13, alike=0.3, floor_deg=0.1, floor_m=0.02)
    rng, test = np.random.default_rng(0), SequentialTest(config)
    frames = []
    floor = np.diag([math.radians(0.1) ** 2] * 3 + [0.02**2] * 3)
    for number in range(20):
        spread = rng.normal(size=(6, 6)) * SIGMA[:, None]
        xi = SIGMA * (0.3 + 0.3 * rng.normal(size=6))
        frames.append(Evidence(str(number), xi, spread @ spread.T + np.diag(SIGMA**2)))
        reading = test.observe(frames[-1])
    best = 0.0
    for length in (each for each in LENGTHS if each <= 13):
        newest = frames[-length:]
        information = sum(np.linalg.inv(each.covariance) for each in newest)
        mean = np.linalg.solve(information, sum(np.linalg.inv(each.covariance) @ each.xi for each in newest))
        wider = 1 + 2 * sum((1 - j / length) * 0.3**j for j in range(1, length))
        best = max(best, mean @ np.linalg.solve(np.linalg.inv(information) * wider + floor, mean))
    assert reading.score == pytest.approx(best) and reading.usable == 13


def test_neighbours_that_are_alike_tell_less_than_strangers() -> None:
    """The variance of the mean of an autoregression, simulated."""
    rng, r, n = np.random.default_rng(1), 0.6, 8
    e = rng.normal(size=(200_000, n))
    for i in range(1, n):
        e[:, i] = r * e[:, i - 1] + math.sqrt(1 - r * r) * e[:, i]
    assert _likeness(n, r) == pytest.approx(n * e.mean(1).var(), rel=0.02)
    assert _likeness(1, 0.7) == pytest.approx(1.0) and _likeness(50, 0.0) == 1.0


@pytest.mark.parametrize("outliers", [0.0, 0.03])
def test_false_alarms_are_as_rare_as_asked(outliers: float) -> None:
    """20 drives of 300 frames at one in 1000: alarms come in runs, so it is drives that are counted."""
    config = MonitorConfig(alike=0.0, floor_deg=0.0, floor_m=0.0, false_alarms=1e-3)
    rng = np.random.default_rng(2)
    alarmed = 0
    for _ in range(20):
        e = rng.normal(size=(300, 6)) * np.where(rng.uniform(size=(300, 1)) < outliers, 3.0, 1.0)
        alarmed += first_alarm(SIGMA * e, config) is not None
    assert alarmed <= 20 * (1 - math.exp(-0.3)) + 2  # one standard deviation


@pytest.mark.parametrize(("degrees", "metres", "within"), [(1.0, 0.0, 4), (0.25, 0.0, 20), (0.0, 0.05, 10)])
def test_a_move_is_seen_soon_and_its_beginning_and_amount_are_told(degrees: float, metres: float, within: int) -> None:
    rng, delays = np.random.default_rng(3), []
    for _ in range(20):
        axis, direction = (v / np.linalg.norm(v) for v in rng.normal(size=(2, 3)))
        move = np.concatenate([math.radians(degrees) * axis, metres * direction])
        test = SequentialTest(PLAIN)
        for number in range(100):
            reading = test.observe(frame(SIGMA * rng.normal(size=6) + move * (number >= 30), number))
            if reading.score > score_threshold(PLAIN.false_alarms):
                break
        assert number >= 30
        delays.append(number - 30)
        assert abs(number + 1 - reading.since - 30) <= 8
        if reading.since >= 4 and degrees <= 0.25:
            assert np.linalg.norm((reading.xi - move) / SIGMA) < 3.5
    assert np.median(delays) <= within


@given(size=st.floats(5, 1e6), seed=st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_no_single_frame_raises_an_alarm(size: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    errors = 0.5 * SIGMA * rng.normal(size=(12, 6))
    errors[6] = size * SIGMA * rng.normal(size=6)
    assert first_alarm(errors) is None


def test_what_cannot_tell_is_not_taken_in() -> None:
    test = SequentialTest(PLAIN)
    before = test.observe(frame(SIGMA))
    after = test.observe(cannot_tell("dark", "too dark"))
    assert after.usable == before.usable == 1 and after.score == before.score
    empty = SequentialTest(PLAIN).read()
    assert empty.score == 0 and empty.bounds == (math.inf, math.inf)


def test_the_bounds_hold_99_times_of_100() -> None:
    """What the camera has really moved by, a little, lies within them."""
    rng, held = np.random.default_rng(4), 0
    for _ in range(200):
        move = 0.5 * SIGMA * rng.normal(size=6)
        test = SequentialTest(PLAIN)
        for number in range(10):
            reading = test.observe(frame(move + SIGMA * rng.normal(size=6), number))
        held += (np.degrees(np.linalg.norm(move[:3])) < reading.bounds[0]
                 and np.linalg.norm(move[3:]) < reading.bounds[1])
    assert held >= 196


def test_doubts_add_up_and_good_frames_take_them_back() -> None:
    total = 0.0
    for _ in range(8):
        total = pages_sum(total, 0.3)
    assert total > doubt_threshold(1e-4) > pages_sum(0.0, 0.3)
    assert pages_sum(total, math.nan) == total and pages_sum(0.5, 0.0) == 0.0
    ratios = [log_ratio(doubt) for doubt in np.linspace(0, 1, 41)]
    assert ratios == sorted(ratios) and max(map(abs, ratios)) == 2.0
