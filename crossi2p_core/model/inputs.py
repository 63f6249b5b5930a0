"""From a Sample to what the network takes."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from ..errors import InputError
from ..geometry import se3
from ..geometry.straight_view import source_pixels, straight_camera, straight_window
from ..types import Camera, Sample
from .batch import Batch
from .config import FlowConfig, NetworkConfig
from .point_features import point_features, select_points
from .point_pyramid import build_pyramid

WIDEST_TANGENT = float(np.tan(np.radians(62.0)))
"""What a lens sees farther off its axis, to the left or right or up or down, the network does not see.

A pinhole image stretches towards its border; of a lens that sees more, the middle would shrink to a few pixels.
"""
LARGEST_PX = 20_000  # no image is enlarged to more on its way to the network's few hundred pixels


def make_batch(sample: Sample, config: NetworkConfig, T_cam_lidar: np.ndarray | None = None,
               rng: np.random.Generator | None = None) -> Batch:
    """A batch of one: image without lens distortion inside config.size, intrinsics to match, cloud as a pyramid.

    T_cam_lidar: (4, 4) the truth; None: the sample's own, which may be unknown. rng: where thinning begins; None: the
    same every time. Raises InputError, naming the sample, for what the network cannot take.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    truth = sample.T_cam_lidar if T_cam_lidar is None else T_cam_lidar
    try:
        image, camera, inside = network_image(sample.image, sample.camera, config)
        cloud = select_points(sample.cloud, config.points)
        pyramid = build_pyramid(cloud.xyz, point_features(cloud), config.points, rng)
        T = None if truth is None else torch.from_numpy(se3.check_transform(truth, "T_cam_lidar")).float()[None]
    except InputError as error:
        raise InputError(f"{sample.name}: {error}") from error
    pixels = torch.from_numpy(image).permute(2, 0, 1).float().div_(255.0)
    return Batch(pixels[None].contiguous(), torch.from_numpy(camera.K).float()[None], torch.from_numpy(inside)[None],
                 pyramid, T)


def network_image(image: np.ndarray, camera: Camera,
                  config: NetworkConfig | FlowConfig) -> tuple[np.ndarray, Camera, np.ndarray]:
    """(H, W, C) uint8 of config.size, its pinhole camera, and (H, W) bool where the recording reaches.

    image: (h, w, 3) uint8 RGB, as large as its camera says. As large as fits, aspect kept, in the top left corner;
    zeros elsewhere. Raises InputError where the network takes neither three channels nor one, which is then grey.
    """
    return on_canvas(*network_picture(image, camera, config), config.size)


def network_picture(image: np.ndarray, camera: Camera,
                    config: NetworkConfig | FlowConfig) -> tuple[np.ndarray, Camera, np.ndarray]:
    """What `network_image` puts on its canvas: as large as fits config.size, and no larger than the recording."""
    height, width = config.size
    if camera.model == "none":
        picture, seen = _resized(image, camera, min(width / camera.width, height / camera.height))
        inside = np.ones(picture.shape[:2], dtype=bool)
    else:
        picture, seen, inside = _straightened(image, camera, height, width)
    return _as_channels(picture, config.image.channels), seen, inside


def on_canvas(picture: np.ndarray, camera: Camera, inside: np.ndarray,
              size: tuple[int, int]) -> tuple[np.ndarray, Camera, np.ndarray]:
    """A `network_picture` in the top left corner of `size` (H, W), zeros elsewhere."""
    canvas = np.zeros((*size, picture.shape[2]), dtype=np.uint8)
    reach = np.zeros(size, dtype=bool)
    canvas[:picture.shape[0], :picture.shape[1]] = picture
    reach[:picture.shape[0], :picture.shape[1]] = inside
    return canvas, Camera(camera.K, size[1], size[0]), reach


def _resized(image: np.ndarray, camera: Camera, factor: float) -> tuple[np.ndarray, Camera]:
    """The same view at another resolution: means of pixels where it gets smaller."""
    small = camera.scale(factor)
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return cv2.resize(image, (small.width, small.height), interpolation=how), small


def _straightened(image: np.ndarray, camera: Camera, height: int,
                  width: int) -> tuple[np.ndarray, Camera, np.ndarray]:
    """Picture, pinhole camera and where the lens reaches, no larger than height x width.

    Made small first: resampling a large image to a small one by its nearest pixels would alias.
    """
    window = straight_window(camera.K, camera.model, camera.distortion, camera.width, camera.height)
    window = window.clipped(WIDEST_TANGENT)
    fx, fy = camera.K[0, 0], camera.K[1, 1]
    # one pixel less than there is: `straight_camera` rounds up
    factor = min((width - 1.001) / (fx * (window.right - window.left)),
                 (height - 1.001) / (fy * (window.bottom - window.top)))
    if not factor * max(camera.width, camera.height) <= LARGEST_PX:
        raise InputError(f"by its intrinsics (fx = {fx:g}) the camera sees next to nothing of its lens; are they in "
                         "pixels?")
    straight = Camera(*straight_camera(window, factor * fx, factor * fy))
    image, lens = _resized(image, camera, factor)
    source, valid = source_pixels(straight.K, straight.width, straight.height, lens.K, lens.model, lens.distortion,
                                  lens.width, lens.height)
    picture = cv2.remap(image, source[..., 0], source[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return picture * valid[..., None], straight, valid


def _as_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """(h, w, channels) from (h, w, 3) RGB."""
    if channels == 3:
        return image
    if channels == 1:
        return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    raise InputError(f"an image has 3 channels, or 1 as grey; this network takes {channels}")
