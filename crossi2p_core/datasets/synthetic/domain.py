"""What differs from world to world: the ranges of domain randomisation, and the light and lens drawn from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import InputError

Range = tuple[float, float]


@dataclass(frozen=True)
class Domain:
    """Ranges (low, high) and densities from which worlds, light, lenses and rigs are drawn.

    Angles in degrees, lengths in metres. Densities are relative: 1 is an ordinary town.
    """

    sun_elevation: Range = (15.0, 65.0)  # deg above the horizon
    overcast: float = 0.25  # share of frames without sun
    sun_strength: Range = (4.0, 9.0)  # sunlight over skylight on a surface that faces it
    clouds: Range = (0.0, 0.8)  # share of the sky
    exposure_ev: Range = (-0.6, 0.7)  # stops about the automatic exposure
    contrast: Range = (1.05, 1.65)  # exponent of scene light about mid grey
    saturation: Range = (0.9, 1.4)
    warmth: Range = (-0.08, 0.08)  # red over blue
    noise: Range = (0.003, 0.014)  # standard deviation at mid grey, of full scale
    blur_px: Range = (0.2, 0.5)  # Gaussian, at 512 columns
    motion_px: Range = (0.0, 1.2)  # smear along the image row, at 512 columns
    vignetting: Range = (0.0, 0.35)  # darkening in the corners
    haze_m: Range = (250.0, 1500.0)  # distance at which contrast falls to 1/e
    street_curvature: float = 0.003  # 1/m, standard deviation
    street_sides: tuple[float, float, float] = (0.34, 0.31, 0.35)  # houses, gardens, trees
    speed: Range = (5.0, 11.0)  # m/s
    parked: float = 0.65  # share of the parking lots that are taken
    people: float = 1.0
    vegetation: float = 1.0
    autumn: float = 0.2  # share of plants in autumn colours
    rig_rotation_deg: float = 2.0  # of T_cam_lidar about a car's usual one, standard deviation per axis
    rig_translation_m: float = 0.12

    def __post_init__(self) -> None:
        for name, value in self.__dict__.items():
            numbers = value if isinstance(value, tuple) else (value,)
            if not np.isfinite(numbers).all():
                raise InputError(f"the domain's {name} is {value}; it must be finite")
            if isinstance(value, tuple) and len(value) == 2 and value[0] > value[1]:
                raise InputError(f"the domain's {name} is {value}; give (low, high)")
        if min(self.street_sides) < 0 or abs(sum(self.street_sides) - 1) > 1e-6:
            raise InputError(f"the domain's street_sides is {self.street_sides}; its three shares must add up to 1")


@dataclass(frozen=True)
class Look:
    """Light and lens of one frame, drawn from a Domain by `draw_look`; units as there, sun as angles in degrees."""

    sun_azimuth: float = 40.0
    sun_elevation: float = 40.0
    sun_strength: float = 3.5
    clouds: float = 0.3
    exposure_ev: float = 0.0
    contrast: float = 1.3
    saturation: float = 1.0
    warmth: float = 0.0
    noise: float = 0.006
    blur_px: float = 0.5
    motion_px: float = 0.0
    vignetting: float = 0.15
    haze_m: float = 600.0

    def sun_direction(self) -> np.ndarray:
        """(3,) unit vector of the world frame towards the sun."""
        a, e = np.radians(self.sun_azimuth), np.radians(self.sun_elevation)
        return np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])


def draw_look(rng: np.random.Generator, domain: Domain) -> Look:
    """Light and lens of one drive."""
    def draw(limits: Range) -> float:
        return float(rng.uniform(*limits))

    dull = rng.random() < domain.overcast
    return Look(
        sun_azimuth=float(rng.uniform(0, 360)), sun_elevation=draw(domain.sun_elevation),
        sun_strength=draw(domain.sun_strength) * (0.06 if dull else 1.0),
        clouds=0.95 if dull else draw(domain.clouds), exposure_ev=draw(domain.exposure_ev),
        contrast=draw(domain.contrast),
        saturation=draw(domain.saturation), warmth=draw(domain.warmth), noise=draw(domain.noise),
        blur_px=draw(domain.blur_px), motion_px=draw(domain.motion_px), vignetting=draw(domain.vignetting),
        haze_m=draw(domain.haze_m),
    )
