"""Settings of the direct alignment. The defaults were chosen on KITTI frames and serve every sensor we have."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..config import option


@dataclass(frozen=True)
class LidarEdgeConfig:
    """Where a cloud has edges that a camera may see. Lengths in metres, angles in degrees."""

    grain_of_range: float = 0.007  # the cloud is thinned to this share of its median range ...
    grain_m: tuple[float, float] = (0.03, 0.10)  # ... within these bounds
    neighbours: int = option(16, low=4, high=64)
    jump_relative: float = 0.04  # a foreground edge needs a gap behind it of this share of its range ...
    jump_m: tuple[float, float] = (0.08, 0.40)  # ... and of this much; 0.028 of the median range within these bounds
    curvature: float = 0.025  # bend of inverse range beyond a plane's: else it is ground seen at a grazing angle
    sky_weight: float = 0.3
    intensity_step: float = 0.2  # of the cloud's own intensity scale
    beam_rad: float = option(0.0012, low=0.0, high=0.02)  # how far beyond a silhouette a beam still grazes it
    per_class: int = option(1500, low=10, high=100000)
    class_weight: tuple[float, float, float, float, float, float] = (  # left, up, right, down, intensity h, intensity v
        6.0, 5.0, 6.0, 1.0, 4.0, 2.5)
    damping: float = option(30.0, low=0.0, high=10000.0)  # a class with fewer edges than this counts less


@dataclass(frozen=True)
class ImageEdgeConfig:
    """How an image becomes maps of edge strength. Pixels are those of the working image."""

    focal_px: float = option(720.0, low=50.0, high=5000.0)  # larger images are reduced to this focal length
    smoothing_px: float = option(0.7, low=0.1, high=10.0)
    surround_px: float = option(25.0, low=4.0, high=500.0)  # contrast is relative to this neighbourhood
    background_px: float = option(20.0, low=4.0, high=500.0)  # and the mean edge strength of this one is taken off
    scales_px: tuple[float, float, float, float] = option((1.0, 2.0, 3.0, 6.0), low=0.5, high=100.0)  # 2 fine, 2 coarse
    faint: float = option(0.01, low=0.0001, high=1.0)  # fine scales: relative gradients count by their log above this
    dark_grey: float = 8.0  # mean grey of 255 below which nothing can be seen
    flat_contrast: float = 2.0  # standard deviation of grey below which nothing can be seen
    sparse_edges: float = 0.02  # share of the image with a visible gradient below which it counts as empty


@dataclass(frozen=True)
class SearchConfig:
    """How the pose is searched. Steps are in units of (1 deg, 1 dm)."""

    samples: int = option(3000, low=1, high=1000000)  # random poses scored first when the start may be far off
    sample_edges: int = option(3000, low=10, high=1000000)  # at the coarsest scale; of n frames this over sqrt(n)
    starts: int = option(24, low=1, high=1000)  # distinct poses followed uphill at the coarsest scale
    finalists: int = option(6, low=1, high=1000)  # of those, followed at the middle scale
    far_deg: float = 6.0  # beyond this bound poses are so far apart that each is judged by the edges that it sees ...
    far_effort: int = option(2, low=1, high=100)  # ... and more of them are looked at, so many times, as far apart
    focus: tuple[float, float] = option((1.0, 0.1), low=0.0, high=100.0)  # deg, m: edges so far out of view still count
    wide_frames: int = option(10, low=1, high=1000)  # many frames: the wide search looks at these only
    narrow_deg: float = 1.2  # up to this bound no wide search is needed, and up to it ...
    narrow_m: float = 0.12  # ... or this one the prior is weighed against the answer; a wider one counts in the climb
    prior: float = 0.15  # weight of the prior against one frame; n frames outvote it n to one
    iterations: int = option(6, low=1, high=1000)
    around: int = option(6, low=1, high=1000)  # poses around the answer from which other maxima are looked for ...
    around_iterations: int = option(4, low=1, high=1000)
    explored_frames: int = 3  # ... when no more frames than this are aligned: many frames have one clear maximum
    temperature: float = option(0.2, low=0.001, high=100.0)  # scores that differ by less are hardly told apart
    rounds: int = option(10, low=1, high=100)  # many frames: the fine stage repeats until it stands still


@dataclass(frozen=True)
class DriveConfig:
    """What may be assumed of the vehicle's own motion during a scan: standard deviations around standing still."""

    enabled: bool = True
    ahead_m_s: float = option(10.0, low=0.001, high=1000.0)
    back_m_s: float = option(1.5, low=0.001, high=1000.0)
    delay_s: float = option(0.005, low=0.000001, high=1.0)  # from the beam passing the axis to the exposure
    weight: float = option(0.15, low=0.0, high=1000.0)  # against one frame's score
    guess_m_s: float = option(8.0, low=0.0, high=1000.0)  # the climb starts from standing and from driving so fast


@dataclass(frozen=True)
class RefineConfig:
    """All settings of `refine`."""

    lidar: LidarEdgeConfig = field(default_factory=LidarEdgeConfig)
    image: ImageEdgeConfig = field(default_factory=ImageEdgeConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    drive: DriveConfig = field(default_factory=DriveConfig)
    seed: int = 0
