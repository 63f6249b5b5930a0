"""message_filters: bring messages of several topics together by their stamps.

Pass `allow_headerless` by keyword only, newer ROS has another argument before it. A callback must not raise: the real
synchroniser would keep its lock for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .borrowed import borrow

_real = borrow("message_filters")

if TYPE_CHECKING or _real is None:
    from .own.message_filters import ApproximateTimeSynchronizer, Subscriber
else:
    ApproximateTimeSynchronizer, Subscriber = _real.ApproximateTimeSynchronizer, _real.Subscriber

__all__ = ["ApproximateTimeSynchronizer", "Subscriber", "forget"]


def forget(synchronizer: ApproximateTimeSynchronizer) -> None:
    """Drop every message that still waits for a partner.

    To be called when time jumps back (a bag that starts again): a full queue gives up its oldest stamps first, which
    would then be all the new ones, and nothing would come out any more.
    """
    with synchronizer.lock:
        for queue in synchronizer.queues:
            queue.clear()
