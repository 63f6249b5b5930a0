"""What every reader is: a lazy sequence of samples that can describe itself without reading all of them."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, overload

import numpy as np

from ..errors import InputError
from ..types import Camera, Sample


@dataclass(frozen=True)
class RobotNames:
    """What a recorded robot calls the camera's optical frame, the LiDAR's, and their topics; empty: not told."""

    camera_frame: str = ""
    lidar_frame: str = ""
    image_topic: str = ""
    cloud_topic: str = ""


class Source(Sequence[Sample]):
    """Frames of one recording. Nothing but names and calibration is read before a frame is asked for.

    A reader sets `kind`, calls `super().__init__(path, names)` and writes `_load`. Names are unique and sorted.
    """

    kind: str = "source"
    options: Mapping[str, Any] = MappingProxyType({})  # what `open_source` was given beside the path
    instant: bool = False  # a scan is as if taken at its stamp, whatever the times of its points
    robot: RobotNames = RobotNames()

    def __init__(self, path: str | Path, names: Sequence[str]) -> None:
        self.path = Path(path)
        self.names = list(names)
        if not self.names:
            raise InputError(f"{self.path} ({self.kind}) holds no frame with both image and scan; check the folder")
        if len(set(self.names)) < len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise InputError(f"{self.path} ({self.kind}) has more than one frame called {twice!r}; rename one of them")

    def _load(self, index: int) -> Sample:
        """The sample number `index`, 0 <= index < len(self); raises InputError where its files cannot be used."""
        raise NotImplementedError

    def _facts(self) -> dict[str, Any]:
        """What `describe` tells beside kind, path and names; a reader that knows more than one rig adds to it."""
        return sample_facts(self.first_usable())

    def first_usable(self) -> Sample:
        """The first sample that can be read, among the first few; those before it are told on stderr. Raises the
        first one's InputError where none can."""
        problems = list[InputError]()
        for index in range(min(len(self), 10)):
            try:
                sample = self[index]
            except InputError as error:
                problems.append(error)
                continue
            for name, problem in zip(self.names, problems, strict=False):
                print(f"crossi2p: {name} cannot be used: {problem}", file=sys.stderr)
            return sample
        raise problems[0]

    def describe(self) -> dict[str, Any]:
        """What is in here, ready for JSON: kind, path, frames, first, last, rigs, cameras, has_truth, has_poses.

        `has_truth`: the recorded T_cam_lidar is known. Readers may add `notes`, sentences about what was left out.
        """
        head = {"kind": self.kind, "path": str(self.path), "frames": len(self)}
        return head | {"first": self.names[0], "last": self.names[-1]} | self._facts()

    def identity(self) -> str:
        """One line that is equal for two sources exactly when they read the same recording with the same options."""
        options = " ".join(f"{name}={value}" for name, value in sorted(self.options.items()))
        where = os.path.abspath(self.path) if self.path.exists() else self.path  # a synthetic world is nowhere on disk
        return f"{self.kind} {where} {options}".rstrip()

    def index_of(self, name: str) -> int:
        """Position of the frame called `name`; raises InputError where there is none."""
        try:
            return self.names.index(name)
        except ValueError:
            raise InputError(f"{self.path} has no frame {name!r}; its frames run from {self.names[0]!r} "
                             f"to {self.names[-1]!r}") from None

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Source: ...
    def __getitem__(self, index: int | slice) -> Sample | Source:
        """One sample, read now, or a lazy view of several. Raises IndexError past the end, as sequences do."""
        if isinstance(index, slice):
            return View(self, range(len(self))[index])
        if not -len(self) <= index < len(self):
            raise IndexError(f"frame {index} of {len(self)}")
        return self._load(range(len(self))[index])

    def __iter__(self) -> Iterator[Sample]:
        for index in range(len(self)):
            yield self._load(index)


class View(Source):
    """Some frames of another source, in the given order, still unread; may be empty."""

    def __init__(self, parent: Source, indices: Sequence[int]) -> None:
        self.parent, self.indices, self.kind = parent, list(indices), parent.kind
        self.path, self.options, self.instant, self.robot = parent.path, parent.options, parent.instant, parent.robot
        self.names = [parent.names[i] for i in self.indices]

    def _load(self, index: int) -> Sample:
        return self.parent[self.indices[index]]

    def _facts(self) -> dict[str, Any]:
        """Those of the whole recording: which rigs these frames have would need reading them."""
        return self.parent._facts()

    def describe(self) -> dict[str, Any]:
        """As `Source.describe`; an empty view has only kind, path and frames = 0."""
        return super().describe() if self.names else {"kind": self.kind, "path": str(self.path), "frames": 0}


class Recalibrated(View):
    """A source whose recorded extrinsic is replaced, or given where it was not known.

    T_cam_lidar: (4, 4). rig: whose it is, None: of all frames. A frame of another rig raises InputError.
    """

    def __init__(self, parent: Source, T_cam_lidar: np.ndarray, rig: str | None = None) -> None:
        super().__init__(parent, range(len(parent)))
        self.T_cam_lidar, self.rig = T_cam_lidar, rig

    def _load(self, index: int) -> Sample:
        sample = super()._load(index)
        if self.rig is not None and sample.rig != self.rig:
            raise InputError(f"{sample.name} is of the rig {sample.rig!r}, the extrinsic is that of {self.rig!r}")
        return replace(sample, T_cam_lidar=self.T_cam_lidar)

    def identity(self) -> str:
        """With a digest of the extrinsic, and whose it is."""
        whose = "" if self.rig is None else f" rig={self.rig}"
        return f"{super().identity()} extrinsic={hashlib.sha256(self.T_cam_lidar.tobytes()).hexdigest()[:8]}{whose}"


class Collection(Source):
    """Several sources below one folder as one; names and rigs are prefixed with the path below that folder."""

    def __init__(self, path: Path, parts: Sequence[tuple[str, Source]]) -> None:
        kinds = {source.kind for _, source in parts}
        self.kind = kinds.pop() if len(kinds) == 1 else "collection"
        self.parts = list(parts)
        self._where = [(k, i) for k, (_, source) in enumerate(parts) for i in range(len(source))]
        super().__init__(path, [f"{prefix}/{name}" for prefix, source in parts for name in source.names])

    def _load(self, index: int) -> Sample:
        part, inner = self._where[index]
        prefix, source = self.parts[part]
        return _prefixed(source[inner], prefix)

    def _facts(self) -> dict[str, Any]:
        told = [(prefix, source.describe()) for prefix, source in self.parts]
        cameras = {f"{prefix}/{rig}": text for prefix, one in told for rig, text in one["cameras"].items()}
        notes = [f"{prefix}: {note}" for prefix, one in told for note in one.get("notes", [])]
        return {
            "rigs": len(cameras),
            "cameras": cameras,
            "has_truth": all(one["has_truth"] for _, one in told),
            "has_poses": all(one["has_poses"] for _, one in told),
        } | ({"notes": notes} if notes else {})


def sample_facts(sample: Sample) -> dict[str, Any]:
    """The part of `describe` that one sample can tell, for sources in which all frames share its rig."""
    return {
        "rigs": 1,
        "cameras": {sample.rig: camera_words(sample.camera)},
        "has_truth": sample.T_cam_lidar is not None,
        "has_poses": sample.T_world_lidar is not None,
    }


def camera_words(camera: Camera) -> str:
    """A camera in a few words: size, distortion model, focal length in pixels."""
    return f"{camera.width}x{camera.height} {camera.model} f={camera.K[0, 0]:.1f}px"


def _prefixed(sample: Sample, prefix: str) -> Sample:
    """The same sample under the name and rig it has in a collection."""
    return replace(sample, name=f"{prefix}/{sample.name}", rig=f"{prefix}/{sample.rig}")
