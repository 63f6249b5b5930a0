"""The folder of results (`--out`): everything appears there once the whole run has succeeded, or nothing does."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .. import atomic
from ..calibration_file import Extrinsic, replace_keeping_former, write_calibration
from ..errors import InputError
from ..types import Registration, Sample
from .words import error_in_words

MAX_PICTURES = 6  # of one joint registration: enough to judge it at a glance


@contextmanager
def staged_folder(target: Path | None) -> Iterator[Path | None]:
    """A hidden folder inside `target` whose files move into `target` when the block ends well; None stays None.

    Former YAML files with other content stay as backups, see `calibration_file.write_calibration`; others are replaced.

    An error or an interruption inside the block removes it, and `target` too if it was made here. Raises InputError
    where `target` cannot be made or written.
    """
    if target is None:
        yield None
        return
    made = _make(target)
    try:
        stage = Path(tempfile.mkdtemp(prefix=".partial-", dir=target))
    except OSError as error:
        raise _not_writable(target, error) from error
    try:
        yield stage
        for file in sorted(path for path in stage.rglob("*") if path.is_file()):
            _move(file, target / file.relative_to(stage))
    except OSError as error:
        raise _not_writable(target, error) from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        for folder in made:
            if not any(folder.iterdir()):
                folder.rmdir()


def _move(file: Path, target: Path) -> None:
    """Into its place; a former calibration with other content stays beside it as a backup."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".yaml" and target.is_file():
        replace_keeping_former(target, file.read_bytes())
    else:
        os.replace(file, target)


def write_registration(folder: Path, samples: list[Sample], start: np.ndarray | None, result: Registration,
                       record: dict[str, Any]) -> None:
    """The extrinsic as `NAME.yaml` and before/after pictures `SAMPLE_before_after.jpg`, of the first few samples.

    start: (4, 4) T_cam_lidar before; None: there was none, and pictures `SAMPLE_after.jpg` show the result alone.
    record: what `records.make_record` says of the result; its name is NAME.
    """
    from ..viz.image_file import write_image
    from ..viz.overlay import before_after, draw_overlay

    name = record["name"]
    frames = samples[0].name if len(samples) == 1 else f"{len(samples)} frames"
    write_calibration(folder / f"{file_stem(name)}.yaml", Extrinsic(
        result.T_cam_lidar, covariance=result.covariance, status=result.status, reason=result.reason,
        source=f"{frames} of {samples[0].rig or 'one rig'}"))
    before, after = f"before: {error_in_words(record, 'init_')}", f"after: {error_in_words(record)} ({result.status})"
    for sample in samples[:MAX_PICTURES]:
        scene = sample.image, sample.camera, sample.cloud
        if start is None:
            picture, kind = draw_overlay(*scene, result.T_cam_lidar, title=after), "after"
        else:
            picture, kind = before_after(*scene, start, result.T_cam_lidar, title_before=before,
                                         title_after=after), "before_after"
        write_image(folder / f"{file_stem(sample.name)}_{kind}.jpg", picture)


def write_report(folder: Path, report: dict[str, Any]) -> None:
    """`report.json`: what `--json` prints."""
    atomic.write_text(folder / "report.json", json.dumps(report, indent=1, allow_nan=False) + "\n")


def file_stem(name: str) -> str:
    """A frame's name as part of a file name: folders in it become dashes, other odd characters underscores, which a
    few digits tell apart from a name that has the underscores."""
    plain = name.strip("/").replace("/", "-")
    stem = re.sub(r"[^\w.-]", "_", plain).lstrip(".") or "frame"
    return stem if plain in (stem, "") else f"{stem}-{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:4]}"


def _make(folder: Path) -> list[Path]:
    """Make `folder` and its parents; returns those that did not exist, innermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_writable(folder, error) from error
    return missing


def _not_writable(folder: Path, error: OSError) -> InputError:
    return InputError(f"cannot write into {folder}: {error.strerror or error}; choose a folder you may write to")
