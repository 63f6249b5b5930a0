"""One piece of code for numpy arrays and torch tensors: which library an array belongs to.

Torch is never imported here: who passes a tensor has imported it already, and who does not never pays for it.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


def is_torch(x: Any) -> bool:
    """True for a torch tensor."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def namespace(x: Any) -> Any:
    """The module (numpy or torch) whose functions take `x`; only names both have with equal meaning are used."""
    return sys.modules["torch"] if is_torch(x) else np


def as_float(x: Any) -> Any:
    """`x` as an array of a floating type: tensors and float arrays as they are, anything else as float64."""
    if is_torch(x):
        return x if x.is_floating_point() else x.double()
    x = np.asarray(x)
    return x if x.dtype in (np.float32, np.float64) else x.astype(np.float64)


def as_float64(x: Any) -> Any:
    """`x` in double precision, on its own device."""
    return x.double() if is_torch(x) else np.asarray(x, dtype=np.float64)


def like(x: Any, reference: Any) -> Any:
    """`x` as an array of `reference`'s library, type and device; gradients pass."""
    if not is_torch(reference):
        return np.asarray(x.detach().cpu() if is_torch(x) else x, dtype=reference.dtype)
    if is_torch(x):
        return x.to(device=reference.device, dtype=reference.dtype)
    return namespace(reference).as_tensor(x, device=reference.device, dtype=reference.dtype)


def eye(size: int, reference: Any) -> Any:
    """The identity (size, size) in `reference`'s library, type and device, made there: no copy, no waiting."""
    if is_torch(reference):
        return namespace(reference).eye(size, dtype=reference.dtype, device=reference.device)
    return np.eye(size, dtype=reference.dtype)
