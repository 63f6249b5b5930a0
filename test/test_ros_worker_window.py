"""What the worker's window and its period do when something is set or changed while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from test_ros_worker import bench, pair_of, samples, waited  # noqa: F401  samples is a fixture

from crossi2p_core.types import Prior, Registration, Sample
from crossi2p_ros.inputs import Pair
from crossi2p_ros.outcome import Outcome
from crossi2p_ros.pair_registration import PairRegistration
from crossi2p_ros.parameters import Settings


def test_a_shorter_period_counts_at_once(samples: list[Sample]) -> None:  # noqa: F811
    with bench(samples[0].T_cam_lidar, mode="periodic", period=1000.0) as made:
        made.worker.offer(pair_of(samples[0], 1))
        assert waited(lambda: len(made.outcomes) == 1)
        made.worker.offer(pair_of(samples[0], 2))
        made.settings = replace(made.settings, period=0.1)
        assert waited(lambda: len(made.outcomes) == 2, 10.0)


def binned(pair: Pair) -> None:
    """The driver sends every second pixel from now on."""
    pair.info.binning_x = pair.info.binning_y = 2


def zoomed(pair: Pair) -> None:
    pair.info.k[0] += 1.0
    pair.info.p[0] += 1.0


@pytest.mark.parametrize("change", [binned, zoomed])
def test_a_camera_that_changes_its_pictures_starts_a_new_window(samples: list[Sample],  # noqa: F811
                                                                change: Callable[[Pair], None]) -> None:
    before, after = pair_of(samples[0], 1), pair_of(samples[1], 2)
    change(after)
    assert "intrinsics of the images changed on /image" in after.changed_from(before, together=True)
    assert not after.changed_from(before, together=False) and not after.changed_from(after, together=True)


def test_nothing_is_registered_across_a_change_of_intrinsics(samples: list[Sample]) -> None:  # noqa: F811
    with bench(samples[0].T_cam_lidar, mode="manual", frames=3) as made:
        assert waited(lambda: made.ledger.warm)
        for second in range(1, 4):
            pair = pair_of(samples[0], second)
            if second == 3:
                zoomed(pair)
            made.worker.offer(pair)
        found: Any = made.calibrate()
        assert isinstance(found, Outcome) and found.oldest == 3 * 10**9, found
        assert "intrinsics of the images changed" in made.ledger.refused()[0][0]


def test_two_sensors_are_told_of_before_their_first_registration(samples: list[Sample]) -> None:  # noqa: F811
    truth = np.asarray(samples[0].T_cam_lidar)
    with bench(truth @ truth, mode="manual") as made:
        told: list[Outcome] = []

        def prepare(start: Outcome) -> None:
            told.append(start)
            made.reference.accept(truth, start.lidar_frame, start.camera_frame)

        made.worker._registration._prepare = prepare
        for second in (1, 2):
            made.worker.offer(pair_of(samples[0], second))
            assert isinstance(made.calibrate(), Outcome)
    assert len(told) == 1 and told[0].registration.status == "failed" and time.monotonic() >= told[0].finished
    np.testing.assert_allclose(told[0].reference, truth @ truth)
    np.testing.assert_allclose(made.outcomes[0].reference, truth)


def test_the_bounds_of_the_guess_are_those_that_were_set(samples: list[Sample]) -> None:  # noqa: F811
    asked: list[Prior] = []

    def registered(samples: list[Sample], prior: Prior) -> Registration:
        asked.append(prior)
        return Registration(np.eye(4), np.eye(6), "ok", "")

    settings = Settings(prior_max_deg=7.0, prior_max_m=0.6)
    registration = PairRegistration(SimpleNamespace(register_joint=registered), lambda: settings,
                                    SimpleNamespace(find=lambda *_, **__: np.eye(4)), lambda *_: ())
    pairs = [pair_of(samples[0], number) for number in (1, 2)]
    found = registration.register(pairs, samples[:1] * 2, 0.0, lambda: False)
    assert (asked[0].max_deg, asked[0].max_m) == (7.0, 0.6)
    assert (found.oldest, found.stamp) == (pairs[0].stamp, pairs[1].stamp)


def test_the_window_holds_as_many_pairs_as_were_asked_for(samples: list[Sample]) -> None:  # noqa: F811
    with bench(samples[0].T_cam_lidar, frames=2) as made:
        for number in range(4):
            made.worker.offer(pair_of(samples[0], number + 1))
            assert waited(lambda number=number: len(made.outcomes) == number + 1)
        assert len(made.worker._window) == 2
