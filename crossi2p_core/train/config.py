"""Settings of a training run: one YAML file, or `crossi2p train CONFIG key=value ...`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..config import option
from ..errors import InputError
from ..model.config import FlowConfig, NetworkConfig

LOSSES = ("alignment", "correspondence", "pose")
TEACHER = "teacher"  # a fourth, where there is one


@dataclass(frozen=True)
class SourceConfig:
    """A recording, or a synthetic world, to learn from."""

    path: str = ""  # as for `crossi2p info`
    camera: str | None = None
    frames: str | None = None  # as for --frames; empty: all
    extrinsic: str | None = None  # a calibration file whose T_cam_lidar holds for all of them, instead of the recorded
    rig: str | None = None  # whose extrinsic that is, as samples name it: frames of other rigs are left out
    weight: float = option(1.0, low=0.0, high=1e6)  # share of the examples, relative to the other sources

    def __post_init__(self) -> None:
        if not self.path:
            raise InputError("a source needs a path, such as path: ../recordings/drive_1")


@dataclass(frozen=True)
class GradNormConfig:
    """How the losses are balanced."""

    mode: Literal["on", "off", "fixed"] = "on"  # off: every weight is 1; fixed: `weights`
    alpha: float = option(1.5, low=0.0, high=10.0)  # pull towards equal training rates; 0: equal gradient norms only
    lr: float = option(0.025, low=1e-6, high=1.0)  # of the weights
    every: int = option(1, low=1, high=10**6)  # steps between two looks at the gradients, which cost a third of a step
    weights: dict[str, float] = field(default_factory=dict)  # for `fixed`; a loss left out weighs 1
    pose_from_step: int = option(2000, low=0, high=10**9)  # before, matches are noise and the pose loss means nothing

    def __post_init__(self) -> None:
        for name, weight in self.weights.items():
            if name not in (*LOSSES, TEACHER):
                raise InputError(f"there is no loss '{name}' to weigh; the losses are {', '.join((*LOSSES, TEACHER))}")
            if weight < 0:
                raise InputError(f"the weight of {name} must be 0 or more; it is {weight}")


@dataclass(frozen=True)
class AugmentConfig:
    """What is changed about every example. A number of 0 switches its change off; all others are upper bounds."""

    light: float = option(0.3, low=0.0, high=1.0)  # share by which brightness, contrast and saturation vary
    exposure: float = option(0.4, low=0.0, high=2.0)  # |log gamma|
    texture: float = option(0.0, low=0.0, high=2.0)  # of patches that no geometry explains; log of the brightness
    noise: float = option(0.03, low=0.0, high=0.5)  # one sigma, of an image in 0..1
    blur_px: float = option(1.5, low=0.0, high=10.0)  # one sigma
    virtual_camera: bool = True  # turn and zoom the image by homography, so that no rig can be learned
    turn_deg: tuple[float, float, float] = option((25.0, 10.0, 15.0), low=0.0, high=60.0)  # right, up, about the axis
    zoom: tuple[float, float] = option((1.6, 3.0), low=0.2, high=5.0)  # of what shows the whole image
    recorded: float = option(0.995, low=0.0, high=1.0)  # least share of what the same zoom would show unturned
    seen_points: int = option(200, low=0, high=10**6)  # fewest points of the scan in the virtual image
    mirror: float = option(0.5, low=0.0, high=1.0)  # probability; image and cloud together
    beams: float = option(0.5, low=0.0, high=0.95)  # share of the beams that are lost
    sector_deg: float = option(60.0, low=0.0, high=300.0)  # azimuth that is lost
    floor_deg: float = option(8.0, low=0.0, high=60.0)  # elevation, from the lowest point up, that is lost
    points: float = option(0.3, low=0.0, high=0.95)  # share of the points that are lost
    range_noise_m: float = option(0.03, low=0.0, high=1.0)  # one sigma
    vehicle_m: float = option(3.0, low=0.0, high=20.0)  # points horizontally nearer are removed before the scan moves
    yaw_deg: float = option(180.0, low=0.0, high=180.0)  # of the scan, as in protocol A
    shift_m: float = option(10.0, low=0.0, high=50.0)  # of the scan, along each axis of the ground plane
    shift_grows_over: int = option(0, low=0, high=10**9)  # examples of the run over which shift_m grows from 0
    tilt_deg: float = option(3.0, low=0.0, high=45.0)  # decalibration: about a random axis
    offset_m: float = option(0.3, low=0.0, high=5.0)  # decalibration: in a random direction

    def __post_init__(self) -> None:
        if self.zoom[0] > self.zoom[1]:
            raise InputError(f"zoom {self.zoom} must run from the smaller to the larger")


@dataclass(frozen=True)
class StartsConfig:
    """How wrong the poses are from which the flow network learns to get nearer."""

    deg: float = option(10.0, low=0.01, high=45.0)  # most, about any axis
    m: float = option(0.5, low=0.001, high=10.0)  # most, in any direction
    span: float = option(50.0, low=1.0, high=1e6)  # times the smallest that the largest is; between, even in the log
    per_pair: int = option(4, low=1, high=64)  # starts of each pair


@dataclass(frozen=True)
class TrainConfig:
    """Everything that a run depends on; the same settings and seed give the same run."""

    out: str = "out/train"  # folder of checkpoints and logs
    task: Literal["matches", "flow"] = "matches"  # the network of the paper, or what gets a rough pose nearer
    network: NetworkConfig = field(default_factory=NetworkConfig)
    flow: FlowConfig = field(default_factory=FlowConfig)
    starts: StartsConfig = field(default_factory=StartsConfig)
    sources: tuple[SourceConfig, ...] = ()
    validation: tuple[SourceConfig, ...] = ()
    validation_frames: int = option(64, low=1, high=10**6)
    validation_poses: bool = False  # also solve for poses there, with the right and a wrong image
    weights: str | None = None  # a checkpoint of ours whose weights to start from
    teacher: str | None = None  # a checkpoint of another network, a larger one as a rule, to learn from as well
    labels: Literal["recorded", "teacher"] = "recorded"  # teacher: the poses that it finds; no extrinsic is looked at
    image_weights: str | None = None  # of a ResNet by torchvision's names, to start the image encoder from
    seed: int = option(0, low=0, high=2**31)
    batch: int = option(4, low=1, high=4096)  # per process
    view_pairs: int | None = option(None, low=0, high=4096)  # of a batch, also seen from another view; empty: all
    accumulate: int = option(1, low=1, high=1024)  # batches per step
    steps: int = option(100_000, low=1, high=10**9)
    optimizer: Literal["muon", "adamw"] = "muon"
    lr: float = option(5e-4, low=1e-8, high=10.0)
    lr_floor: float = option(0.01, low=0.0, high=1.0)  # share of lr at the last step
    lr_fall: float = option(1.0, low=0.0, high=1.0)  # share of the steps, at the end, over which lr falls
    warm_up: int = option(500, low=0, high=10**9)  # steps
    weight_decay: float = option(0.01, low=0.0, high=10.0)  # not of biases and norms
    clip: float = option(1.0, low=1e-6, high=1e9)  # largest norm of the gradient
    ema: float = option(0.999, low=0.0, high=0.999999)  # decay of the averaged weights; 0: none
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False  # the network by torch.compile: the first steps take minutes, the others less time
    gradnorm: GradNormConfig = field(default_factory=GradNormConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    validate_every: int = option(1000, low=1, high=10**9)  # steps
    checkpoint_every: int = option(1000, low=1, high=10**9)  # steps
    keep: int = option(3, low=1, high=1000)  # checkpoints, and the best beside them
    best_by: str = "coarse_recall"  # of the validation
    best_is: Literal["high", "low"] = "high"
    bad_steps: int = option(20, low=1, high=10**6)  # without a finite loss, in a row, until training stops
    workers: int = option(2, low=0, high=256)  # processes that prepare examples
    cache_mb: int = option(1000, low=0, high=10**6)  # memory for decoded frames, of all workers together

    def __post_init__(self) -> None:
        if self.warm_up >= self.steps and self.warm_up > 0:
            raise InputError(f"warm_up {self.warm_up} must be shorter than steps {self.steps}")
        if self.teacher is not None and self.task != "matches":
            raise InputError("a flow network has no teacher; leave teacher out, or choose task: matches")
        # `shift` does not reach what follows the correlations, and before them its gradient drowns that of `flow`
        if self.task == "flow" and self.gradnorm.mode == "on":
            raise InputError("GradNorm cannot balance the losses of a flow network, which share no last layer; write "
                             "gradnorm: {mode: off}")
        if self.labels == "teacher" and self.teacher is None:
            raise InputError("labels: teacher needs a teacher, the checkpoint of a network; or choose labels: recorded")
        if self.sources and not any(source.weight > 0 for source in self.sources):
            raise InputError("every source has weight 0; give one of them more")
