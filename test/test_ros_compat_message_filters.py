"""The approximate synchroniser: which messages come out together, ours and, where it is installed, the real one."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("rclpy", reason="needs ROS 2: make install, or source a distribution")
from ros_here import both
from sensor_msgs.msg import Image, PointCloud2

from crossi2p_ros.ros_compat.message_filters import forget

IMPLEMENTATIONS = both("message_filters", "message_filters")
contract = pytest.mark.parametrize("module", IMPLEMENTATIONS)
ours = pytest.mark.parametrize("module", IMPLEMENTATIONS[-1:])
MS = 10**6


class Source:
    """A filter without a topic behind it: hands on what it is told to."""

    def __init__(self) -> None:
        self.callbacks: list[tuple[Callable[..., None], tuple[Any, ...]]] = []

    def registerCallback(self, callback: Callable[..., None], *args: Any) -> None:
        self.callbacks.append((callback, args))

    def send(self, stamp_ns: int, kind: type = Image) -> None:
        message = kind()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
        for callback, args in self.callbacks:
            callback(message, *args)


def stamp_of(message: Any) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def synchronised(module: SimpleNamespace, count: int = 2, queue_size: int = 10, slop: float = 0.1,
                 **options: Any) -> tuple:
    """Sources, the synchroniser over them, and the list that the stamps of its sets go to."""
    sources = [Source() for _ in range(count)]
    synchroniser = module.ApproximateTimeSynchronizer(sources, queue_size, slop, **options)
    sets: list[tuple[int, ...]] = []
    synchroniser.registerCallback(lambda *messages: sets.append(tuple(map(stamp_of, messages))))
    return sources, synchroniser, sets


@contract
def test_less_than_slop_apart_and_no_more(module: SimpleNamespace) -> None:
    (images, clouds), _, sets = synchronised(module, slop=0.1)
    images.send(1000 * MS)
    clouds.send(1100 * MS)
    assert sets == []
    clouds.send(1100 * MS - 1)
    assert sets == [(1000 * MS, 1100 * MS - 1)]


@contract
def test_the_nearest_partner_is_taken_and_only_once(module: SimpleNamespace) -> None:
    (images, clouds), _, sets = synchronised(module)
    for stamp in (1000, 1040, 1080):
        images.send(stamp * MS)
    clouds.send(1050 * MS)
    clouds.send(1051 * MS)
    assert sets == [(1040 * MS, 1050 * MS), (1080 * MS, 1051 * MS)]


@contract
def test_arguments_come_in_the_order_of_the_sources(module: SimpleNamespace) -> None:
    (images, clouds), synchroniser, _ = synchronised(module)
    got: list[tuple[Any, ...]] = []
    synchroniser.registerCallback(lambda *arguments: got.append(arguments), "mine")
    clouds.send(1000 * MS, PointCloud2)
    images.send(1001 * MS)
    (arguments,) = got
    assert [type(each) for each in arguments] == [Image, PointCloud2, str]


@contract
def test_a_full_queue_gives_up_its_oldest(module: SimpleNamespace) -> None:
    (images, clouds), _, sets = synchronised(module, queue_size=2)
    for stamp in (1000, 2000, 3000):
        images.send(stamp * MS)
    clouds.send(1000 * MS)
    assert sets == []
    clouds.send(2000 * MS)
    assert sets == [(2000 * MS, 2000 * MS)]


@contract
def test_of_three_sources_the_outer_two_count(module: SimpleNamespace) -> None:
    (left, right, middle), _, sets = synchronised(module, count=3)
    left.send(1000 * MS)
    right.send(1120 * MS)
    middle.send(1060 * MS)
    assert sets == []
    right.send(1090 * MS)
    assert sets == [(1000 * MS, 1090 * MS, 1060 * MS)]


@contract
def test_add_by_hand(module: SimpleNamespace) -> None:
    (images, _), synchroniser, sets = synchronised(module)
    images.send(1000 * MS)
    cloud = PointCloud2()
    cloud.header.stamp.sec = 1
    synchroniser.add(cloud, synchroniser.queues[1], 1)
    assert sets == [(1000 * MS, 1000 * MS)]


@contract
@pytest.mark.parametrize("allowed", [False, True])
def test_messages_without_a_stamp_only_on_request(module: SimpleNamespace, allowed: bool) -> None:
    _, synchroniser, _ = synchronised(module, allow_headerless=allowed)
    synchroniser.add(SimpleNamespace(data=1), synchroniser.queues[0], 0)
    assert len(synchroniser.queues[0]) == int(allowed)


@contract
def test_after_forgetting_an_earlier_time_works_again(module: SimpleNamespace) -> None:
    (images, clouds), synchroniser, sets = synchronised(module, queue_size=3)
    for stamp in (50_000, 51_000, 52_000):
        images.send(stamp * MS)
    images.send(1000 * MS)
    clouds.send(1000 * MS)
    assert sets == []
    forget(synchroniser)
    images.send(1000 * MS)
    clouds.send(1000 * MS)
    assert sets == [(1000 * MS, 1000 * MS)]


@contract
@given(events=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40)), max_size=40), queue_size=st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_every_set_fits_and_no_message_is_used_twice(module: SimpleNamespace, events: list, queue_size: int) -> None:
    sources, synchroniser, sets = synchronised(module, count=3, queue_size=queue_size, slop=0.05)
    sent: list[set[int]] = [set(), set(), set()]
    for source, tick in events:
        stamp = 10**9 + tick * 10 * MS
        if stamp not in sent[source]:
            sent[source].add(stamp)
            sources[source].send(stamp)
        assert all(len(queue) <= queue_size for queue in synchroniser.queues)
    assert all(max(stamps) - min(stamps) < 50 * MS for stamps in sets)
    for used, stamps in zip(sent, zip(*sets, strict=True), strict=False):
        assert len(set(stamps)) == len(stamps) and set(stamps) <= used


@ours
def test_ours_survives_a_callback_that_raises(module: SimpleNamespace) -> None:
    (images, clouds), synchroniser, sets = synchronised(module)
    failing = synchroniser.registerCallback(lambda *_: 1 / 0)
    images.send(1000 * MS)
    with pytest.raises(ZeroDivisionError):
        clouds.send(1000 * MS)
    del synchroniser.callbacks[failing]
    images.send(2000 * MS)
    clouds.send(2000 * MS)
    assert sets[-1] == (2000 * MS, 2000 * MS)
