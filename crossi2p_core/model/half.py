"""Where the networks compute in bfloat16."""

from __future__ import annotations

import torch


def prefers_half(device: torch.device) -> bool:
    """Whether bfloat16 is faster there: GPUs, and CPUs that have instructions for it; others only pretend to it."""
    if device.type != "cpu":
        return True
    asked = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(supported is not None and supported() for supported in asked)
