"""tf2_ros: the tree of frames, and how transforms are heard and told.

`StaticTransformBroadcaster` is ours everywhere, see static_broadcaster.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .borrowed import borrow
from .static_broadcaster import StaticTransformBroadcaster

_real = borrow("tf2_ros")

if TYPE_CHECKING or _real is None:
    from .own.tf2_buffer import Buffer
    from .own.tf2_errors import (
        ConnectivityException,
        ExtrapolationException,
        InvalidArgumentException,
        LookupException,
        TransformException,
    )
    from .own.tf2_topics import TransformBroadcaster, TransformListener
else:
    Buffer, TransformListener, TransformBroadcaster = _real.Buffer, _real.TransformListener, _real.TransformBroadcaster
    ConnectivityException, ExtrapolationException = _real.ConnectivityException, _real.ExtrapolationException
    InvalidArgumentException, LookupException = _real.InvalidArgumentException, _real.LookupException
    TransformException = _real.TransformException

__all__ = [
    "Buffer",
    "ConnectivityException",
    "ExtrapolationException",
    "InvalidArgumentException",
    "LookupException",
    "StaticTransformBroadcaster",
    "TransformBroadcaster",
    "TransformException",
    "TransformListener",
]
