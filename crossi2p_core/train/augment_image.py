"""Images under other light and through worse lenses; geometry stays. Pure functions with a numpy Generator."""

from __future__ import annotations

import cv2
import numpy as np

Array = np.ndarray


def change_light(image: Array, rng: np.random.Generator, amount: float) -> Array:
    """Brightness, contrast, saturation and balance of colours, each by a factor in 1 +- amount; (H, W, 3) uint8."""
    brightness, contrast, saturation = 1 + amount * rng.uniform(-1, 1, 3)
    balance = 1 + 0.5 * amount * rng.uniform(-1, 1, 3)
    # All of it is affine in the colour: x -> A x + b, one matrix for the whole image.
    grey = np.full((3, 3), 1 / 3)
    mixing = np.diag(balance) @ (saturation * np.eye(3) + (1 - saturation) * grey) * (brightness * contrast)
    shift = np.full((3, 1), brightness * (1 - contrast) * float(image.mean()))
    return cv2.transform(image, np.hstack([mixing, shift]))


def change_exposure(image: Array, rng: np.random.Generator, amount: float) -> Array:
    """A gamma curve with |log gamma| up to `amount`; (H, W, 3) uint8."""
    gamma = np.exp(amount * rng.uniform(-1, 1))
    table = np.rint(255 * np.linspace(0, 1, 256) ** gamma).astype(np.uint8)
    return cv2.LUT(image, table)


def add_texture(image: Array, rng: np.random.Generator, amount: float) -> Array:
    """Light and dark patches of all sizes over parts of the image, as foliage, shadows and wear make; (H, W, 3) uint8.

    Half of the image, in blots, is multiplied by exp(s n), n of unit variance with equal shares from every octave, as
    natural images have (Field, "Relations between the statistics of natural images", 1987); s up to `amount`. It
    teaches that most edges of a picture are no edges of the scene, of which synthetic ones have too few.
    """
    strength = rng.uniform(0, amount)
    octaves = [2**i for i in range(6)]
    n: Array = np.sum([_blots(image.shape[:2], rng, size) for size in octaves], axis=0) / np.sqrt(len(octaves))
    where = 1 / (1 + np.exp(-6 * _blots(image.shape[:2], rng, 32)))
    return np.clip(np.rint(image * np.exp(strength * n * where)[..., None]), 0, 255).astype(np.uint8)


def _blots(shape: tuple[int, ...], rng: np.random.Generator, size: int) -> Array:
    """(H, W) noise of about unit variance whose features are `size` pixels wide."""
    height, width = shape
    coarse: Array = rng.standard_normal((height // size + 3, width // size + 3), dtype=np.float32)
    if size > 1:
        coarse = cv2.resize(coarse, None, fx=size, fy=size, interpolation=cv2.INTER_CUBIC)
    top, left = rng.integers(0, max(1, size), 2)
    return coarse[top:top + height, left:left + width]


def add_noise(image: Array, rng: np.random.Generator, sigma: float) -> Array:
    """Noise of the sensor, normal, up to `sigma` of an image in 0..1; (H, W, 3) uint8."""
    strength = 255 * rng.uniform(0, sigma)
    noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(strength)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def blur(image: Array, rng: np.random.Generator, sigma_px: float) -> Array:
    """A Gaussian blur of up to sigma_px; (H, W, 3) uint8."""
    sigma = rng.uniform(0, sigma_px)
    return image if sigma < 0.2 else cv2.GaussianBlur(image, (0, 0), sigma)
