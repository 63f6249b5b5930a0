"""What is shown at the end: pictures of before and after, whether the camera was really repaired, the table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossi2p_core.datasets.source import Source
from crossi2p_core.geometry import se3
from crossi2p_core.viz.image_file import write_image
from crossi2p_core.viz.overlay import before_after

from .live import Error, in_words


@dataclass(frozen=True)
class Result:
    """What came out. start, found: degrees and centimetres from the exact truth. status: of the saved extrinsic.

    answers: valid ones, until the end. pairs: of image and cloud that the node brought together. seconds: in all.
    """

    start: Error
    found: Error
    status: str
    answers: int
    pairs: int
    seconds: float

    @property
    def repaired(self) -> bool:
        """The answer is believed, and nearer to the truth than the start in rotation and in translation."""
        return self.status == "ok" and all(after < before for after, before in zip(self.found, self.start, strict=True))


def error(T_cam_lidar: np.ndarray, truth: np.ndarray) -> Error:
    """Degrees and centimetres between two (4, 4)."""
    return (float(se3.rotation_error_deg(T_cam_lidar, truth)), 100 * float(se3.translation_error_m(T_cam_lidar, truth)))


def draw(frames: Source, start: np.ndarray, found: np.ndarray, result: Result, folder: Path) -> list[str]:
    """Write `NAME_before_after.jpg` for the first, a middle and the last frame; returns the names of the files.

    start, found: (4, 4) T_cam_lidar.
    """
    names = []
    for index in sorted({0, len(frames) // 2, len(frames) - 1}):
        sample = frames[index]
        picture = before_after(sample.image, sample.camera, sample.cloud, start, found,
                               title_before=f"before: {in_words(result.start)} from the truth",
                               title_after=f"after: {in_words(result.found)} ({result.status})")
        names.append(f"{sample.name}_before_after.jpg")
        write_image(folder / names[-1], picture)
    return names


def table(result: Result, files: dict[str, list[Path]]) -> str:
    """The end in lines: errors, counts, and every file by what it is."""
    verdict = "repaired" if result.repaired else "NOT repaired: the answer is not believed, or no nearer to the truth"
    (start_deg, start_cm), (found_deg, found_cm) = result.start, result.found
    lines = [
        "",
        "from the exact truth     rotation   translation",
        f"  start              {start_deg:8.3f} deg   {start_cm:8.2f} cm",
        f"  saved answer       {found_deg:8.3f} deg   {found_cm:8.2f} cm   ({result.status})",
        f"{result.answers} valid answers from {result.pairs} pairs of image and cloud, {result.seconds:.0f} s in all: "
        f"{verdict}",
        "",
    ]
    width = max(map(len, files))
    for what, paths in files.items():
        lines += [f"{what if number == 0 else '':<{width}}  {path}" for number, path in enumerate(paths)]
    return "\n".join(lines)
