"""From light to an 8-bit image: exposure, colour, blur, vignetting, noise and the display curve."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .domain import Look

_MID_GREY = 0.18
_KEY = 0.105  # where the automatic exposure puts the geometric mean of the scene
_REFERENCE_COLUMNS = 512  # blur in a Look is given for images this wide


def develop(light: Tensor, ground: Tensor, looks: list[Look], generator: torch.Generator) -> Tensor:
    """(B, H, W, 3) uint8 RGB of scene-linear `light` (B, H, W, 3).

    ground: (B, H, W) 1 where something other than sky was seen: what the exposure is measured on.
    """
    gain = _automatic_gain(light, ground)
    frames = []
    for b, look in enumerate(looks):
        image = (light[b] * gain[b] * 2**look.exposure_ev).clamp(max=3.0)
        image = _blurred(image, look).clamp(max=1.4)
        image = image * _falloff(image, look.vignetting)[..., None]
        image = _MID_GREY * (image / _MID_GREY).pow(look.contrast)
        warm = image.new_tensor([1 + look.warmth, 1.0, 1 - look.warmth])
        grey = image.mean(-1, keepdim=True)
        image = (grey + look.saturation * (image * warm - grey)).clamp(0, 1)
        frames.append(image)
    linear = torch.stack(frames)
    noise = torch.randn(linear.shape, generator=generator, device=light.device)
    level = light.new_tensor([look.noise for look in looks])[:, None, None, None]
    linear = (linear + noise * level * (linear * 0.9 + 0.02).sqrt() * 0.9).clamp(0, 1)
    return (_srgb(linear) * 255 + 0.5).to(torch.uint8)


def _automatic_gain(light: Tensor, ground: Tensor) -> Tensor:
    """(B,) factor that brings the geometric mean of what is not sky to _KEY."""
    brightness = light.mean(-1).clamp(min=1e-3).log() * ground
    return _KEY / (brightness.sum((1, 2)) / ground.sum((1, 2)).clamp(min=1)).exp()


def _srgb(linear: Tensor) -> Tensor:
    """The sRGB curve (IEC 61966-2-1)."""
    return torch.where(linear < 0.0031308, 12.92 * linear, 1.055 * linear.clamp(min=1e-8).pow(1 / 2.4) - 0.055)


def _falloff(image: Tensor, strength: float) -> Tensor:
    """(H, W) brightness, 1 in the middle, 1 - strength in the corners."""
    H, W = image.shape[:2]
    y = torch.linspace(-1, 1, H, device=image.device)[:, None]
    x = torch.linspace(-1, 1, W, device=image.device)[None]
    return 1 - strength * (x * x + (y * H / W).square()) / (1 + (H / W) ** 2)


def _blurred(image: Tensor, look: Look) -> Tensor:
    """Defocus and the smear of a turning vehicle; (H, W, 3) to the same."""
    scale = image.shape[1] / _REFERENCE_COLUMNS
    planes = image.permute(2, 0, 1)[:, None]
    sigma = look.blur_px * scale
    if sigma > 0.15:
        reach = math.ceil(2.5 * sigma)
        offsets = torch.arange(-reach, reach + 1, device=image.device, dtype=image.dtype)
        kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
        planes = _filtered(_filtered(planes, kernel, vertical=True), kernel, vertical=False)
    smear = look.motion_px * scale
    if smear > 0.5:
        reach = math.ceil(smear / 2)
        offsets = torch.arange(-reach, reach + 1, device=image.device, dtype=image.dtype)
        planes = _filtered(planes, (smear / 2 + 0.5 - offsets.abs()).clamp(0, 1), vertical=False)
    return planes[:, 0].permute(1, 2, 0)


def _filtered(planes: Tensor, kernel: Tensor, vertical: bool) -> Tensor:
    kernel = kernel / kernel.sum()
    half = len(kernel) // 2
    padding = (0, 0, half, half) if vertical else (half, half, 0, 0)
    weight = kernel.view(1, 1, -1, 1) if vertical else kernel.view(1, 1, 1, -1)
    return F.conv2d(F.pad(planes, padding, mode="replicate"), weight)
