"""cv_bridge: Image and CompressedImage messages to arrays and back.

The real package imports well beside a numpy that it was not built for, and fails at its first conversion: what decides
is whether its compiled half loads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .borrowed import borrow

_real = borrow("cv_bridge", proof="cv_bridge.boost.cv_bridge_boost")

if TYPE_CHECKING or _real is None:
    from .own.cv_bridge import CvBridge, CvBridgeError
else:
    CvBridge, CvBridgeError = _real.CvBridge, _real.CvBridgeError

__all__ = ["CvBridge", "CvBridgeError"]
