"""Maps of edge strength over an image, with their derivatives, at several scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from ..types import Camera
from .config import ImageEdgeConfig
from .working_view import WorkingView

FINE = 2  # so many of the scales, the first, are fine ones
CHANNELS = 6  # value, d/du, d/dv, d2/du2, d2/dudv, d2/dv2
_FIRST = np.float32(1 / 8)
_SECOND_U = np.array([[1, -2, 1], [2, -4, 2], [1, -2, 1]], np.float32) / 4
_SECOND_UV = np.array([[1, 0, -1], [0, 0, 0], [-1, 0, 1]], np.float32) / 4

MOST_ROWS = 4096  # that an image is looked at by: of a strip 256 wide would be gigabytes


@dataclass(frozen=True)
class EdgeMap:
    """One scale. table: (H W + 1, 2, 6) float16 for edges with normal along u and along v; the last row, zeros, is
    what lies outside the image. camera: intrinsics of the map's own pixels. sigma: blur in working pixels."""

    table: torch.Tensor
    camera: Camera
    sigma: float


def why_blind(image: np.ndarray, config: ImageEdgeConfig) -> str:
    """In words, why nothing can be aligned to this image (H, W, 3); empty where it can be."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    height = min(max(16, 256 * grey.shape[0] // grey.shape[1]), MOST_ROWS)
    small = cv2.resize(grey, (256, height), interpolation=cv2.INTER_AREA)
    mean, contrast = float(small.mean()), float(small.std())
    if mean < config.dark_grey:
        return f"the image is dark (mean grey {mean:.0f} of 255); use a frame with light"
    if contrast < config.flat_contrast:
        return f"the image is flat (contrast {contrast:.1f} of 255); is the lens covered or the exposure saturated?"
    gradient = cv2.morphologyEx(small, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    busy = float((gradient > 12).mean())
    if busy < config.sparse_edges:
        return f"the image is nearly empty (edges on {100 * busy:.1f} % of it); use a frame with structure"
    return ""


def edge_maps(view: WorkingView, config: ImageEdgeConfig, device: torch.device) -> list[EdgeMap]:
    """Maps at `config.scales_px`, finest first; blurred ones have half the resolution.

    A gradient counts relative to its neighbourhood's, so that a texture's many edges weigh no more than a few clear
    ones, and each map has its own background removed and unit variance. At fine scales its logarithm counts: where a
    pose is nearly right, that there is an edge says more than how strong it is. From far off the strong ones lead.
    """
    strong = _relative_gradients(view.image, config)
    faint = tuple(np.log1p(plane / config.faint) for plane in strong)
    fine, coarse = ([(plane, _wide_blur(plane, config.background_px)) for plane in planes]
                    for planes in (faint, strong))
    return [_edge_map(fine if index < FINE else coarse, view, sigma, device)
            for index, sigma in enumerate(config.scales_px)]


def _edge_map(strengths: Sequence[tuple[np.ndarray, np.ndarray]], view: WorkingView, sigma: float,
              device: torch.device) -> EdgeMap:
    """The map of one scale from strengths along u and along v, (H, W) each with its background."""
    working = view.camera
    halved = sigma >= 3 and min(working.width, working.height) >= 128
    level = working.resize(working.width // 2, working.height // 2) if halved else working
    size = level.width, level.height
    planes = [_normalised(*strength, sigma * level.width / working.width, size) for strength in strengths]
    if view.mask is not None:
        inside = cv2.resize(view.mask, size, interpolation=cv2.INTER_AREA)
        planes = [plane * inside for plane in planes]
    values = cv2.merge([part for plane in planes for part in _with_derivatives(plane)])  # (H, W, 2 x 6)
    table = np.zeros((size[0] * size[1] + 1, len(planes), CHANNELS), np.float16)
    table[:-1] = values.reshape(-1, len(planes), CHANNELS)
    return EdgeMap(torch.from_numpy(table).to(device), level, sigma)


def _relative_gradients(image: np.ndarray, config: ImageEdgeConfig) -> tuple[np.ndarray, np.ndarray]:
    """|d/du| and |d/dv| (H, W) of the square-rooted grey image over the local mean gradient, 0..1.

    The square root makes noise and contrast alike in light and shadow.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    level = cv2.GaussianBlur(np.sqrt(grey + 4), (0, 0), config.smoothing_px)
    gu = cv2.Sobel(level, cv2.CV_32F, 1, 0, ksize=3) * _FIRST
    gv = cv2.Sobel(level, cv2.CV_32F, 0, 1, ksize=3) * _FIRST
    magnitude = np.sqrt(gu * gu + gv * gv)  # cv2.magnitude rounds by where its arrays lie in memory
    total = magnitude + _wide_blur(magnitude, config.surround_px) + 0.5 * float(magnitude.mean()) + 1e-6
    return np.abs(gu) / total, np.abs(gv) / total


def _normalised(plane: np.ndarray, ground: np.ndarray, sigma: float, size: tuple[int, int]) -> np.ndarray:
    """The plane at size (width, height), blurred by sigma of its pixels, less the ground, with unit deviation."""
    if size != plane.shape[::-1]:
        plane, ground = (cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in (plane, ground))
    blurred = cv2.GaussianBlur(plane, (0, 0), sigma) - ground
    return blurred / max(float(blurred.std()), 1e-6)


def _wide_blur(plane: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur by a large sigma, at a quarter of the resolution."""
    height, width = plane.shape
    small = cv2.resize(plane, (max(1, width // 4), max(1, height // 4)), interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / 4), (width, height))


def _with_derivatives(plane: np.ndarray) -> tuple[np.ndarray, ...]:
    """The plane (H, W) and its first and second derivatives per pixel, in the order of CHANNELS."""
    return (
        plane,
        cv2.Sobel(plane, cv2.CV_32F, 1, 0, ksize=3) * _FIRST,
        cv2.Sobel(plane, cv2.CV_32F, 0, 1, ksize=3) * _FIRST,
        cv2.filter2D(plane, cv2.CV_32F, _SECOND_U),
        cv2.filter2D(plane, cv2.CV_32F, _SECOND_UV),
        cv2.filter2D(plane, cv2.CV_32F, _SECOND_U.T.copy()),
    )
