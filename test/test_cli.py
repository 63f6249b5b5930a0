"""The command line as a process: quick help, clean ends, and the choice of frames and starts."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
from command_line import assert_refused, crossi2p
from hypothesis import given
from hypothesis import strategies as st

from crossi2p_core import __version__
from crossi2p_core.commands.options import degrees_and_metres
from crossi2p_core.commands.results import file_stem, staged_folder
from crossi2p_core.commands.starts import Starts
from crossi2p_core.datasets.selection import select_frames
from crossi2p_core.datasets.source import Source
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.types import Camera, PointCloud, Sample


class Names(Source):
    """A source of which only the names are looked at."""

    def __init__(self, count: int) -> None:
        super().__init__("somewhere", [f"frame{i:02d}" for i in range(count)])


def sample(T: np.ndarray | None) -> Sample:
    camera = Camera(np.array([[50.0, 0, 16], [0, 50, 12], [0, 0, 1]]), 32, 24)
    return Sample("one", np.zeros((24, 32, 3), np.uint8), camera, PointCloud(np.ones((1, 3), np.float32)), T)


def test_help_names_every_command_and_loads_nothing_heavy() -> None:
    code = ("import sys; sys.argv = ['crossi2p', '--help']\n"
            "import atexit; atexit.register(lambda: print(*sorted({'torch', 'cv2', 'scipy'} & set(sys.modules))))\n"
            "from crossi2p_core.cli import main; main()")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for command in ("register", "info", "view", "prepare", "synth", "bag"):
        assert re.search(rf"\b{command}\b", done.stdout)
    assert done.stdout.splitlines()[-1] == ""


def test_version() -> None:
    assert crossi2p("--version") == (0, f"crossi2p {__version__}\n", "")


@pytest.mark.parametrize("arguments", [("register",), ("register", "x", "--no-such-option"), ("no-such-command",)])
def test_wrong_usage_is_exit_code_2_without_traceback(arguments: tuple[str, ...]) -> None:
    outcome = crossi2p(*arguments)
    assert outcome.code == 2
    assert "Traceback" not in outcome.err


def test_a_reader_that_closes_early_ends_the_command_quietly() -> None:
    program = "import sys; sys.argv = ['crossi2p', 'register', '--help']\nfrom crossi2p_core.cli import main; main()"
    process = subprocess.Popen([sys.executable, "-u", "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.wait()


@pytest.mark.parametrize(("text", "expected"), [
    (None, [0, 1, 2, 3, 4]), ("0:2", [0, 1]), ("::2", [0, 2, 4]), ("-2:", [3, 4]), ("3", [3]), ("-1", [4]),
    ("4,0, 4", [4, 0]), ("frame03", [3]), ("3:99,frame00", [3, 4, 0]), ("::-2", [4, 2, 0]),
    ("1-3", [1, 2, 3]),
])
def test_frames_are_chosen_as_in_python(text: str | None, expected: list[int]) -> None:
    assert select_frames(Names(5), text) == expected


@pytest.mark.parametrize("text", ["5", "-6", "", "frame09", "1:1", "::0", "1.5", "3-1", "9:"])
def test_frames_that_do_not_exist_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        select_frames(Names(5), text)


def test_degrees_and_centimetres() -> None:
    assert degrees_and_metres("2,20", "--perturb") == (2.0, 0.2)
    assert degrees_and_metres(None, "--perturb") is None


@pytest.mark.parametrize("text", ["", "2", "2,20,3", "a,b", "-1,5", "1,-5", "nan,1", "1,nan", "inf,1", "1,inf", "181,1"]
                         )
def test_degrees_and_centimetres_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="--perturb"):
        degrees_and_metres(text, "--perturb")


@given(seed=st.integers(0, 2**40), index=st.integers(0, 10**6))
def test_perturbed_starts_keep_their_bounds_and_repeat(seed: int, index: int) -> None:
    truth = sample(se3.exp_se3(np.array([0.1, -1.2, 0.4, 0.3, -0.1, 2.0])))
    starts = Starts.from_options((2.0, 0.2), seed, None, None)
    prior = starts.for_frame(truth, index)
    assert se3.rotation_error_deg(prior.T_cam_lidar, truth.T_cam_lidar) <= 2 + 1e-9
    assert se3.translation_error_m(prior.T_cam_lidar, truth.T_cam_lidar) <= 0.2 + 1e-9
    assert np.array_equal(prior.T_cam_lidar, starts.for_frame(truth, index).T_cam_lidar)
    assert not np.array_equal(prior.T_cam_lidar, starts.for_frame(truth, index + 1).T_cam_lidar)
    assert (prior.max_deg, prior.max_m) == (2.0, 0.2)


def test_search_follows_perturb_unless_given() -> None:
    assert Starts.from_options(None, 0, None, None).search == (2.0, 0.2)
    assert Starts.from_options((5.0, 0.25), 0, None, None).search == (5.0, 0.25)
    assert Starts.from_options((5.0, 0.25), 0, None, (1.0, 0.1)).search == (1.0, 0.1)
    assert min(Starts.from_options((0.0, 0.0), 0, None, None).search) > 0


def test_a_frame_without_extrinsic_needs_a_guess() -> None:
    with pytest.raises(InputError, match="--init"):
        Starts.from_options(None, 0, None, None).for_frame(sample(None), 0)


def test_file_names_stay_inside_their_folder() -> None:
    assert file_stem("a/b/0001") == "a-b-0001"
    assert file_stem("../../etc/passwd").startswith("-..-etc-passwd")
    assert len({file_stem(name) for name in ("frame 1", "frame+1", "frame_1")}) == 3
    assert file_stem("/") == "frame"


def test_results_appear_whole_or_not_at_all(tmp_path) -> None:
    target = tmp_path / "deep" / "results"
    with pytest.raises(RuntimeError), staged_folder(target) as folder:
        (folder / "first").write_text("1")
        raise RuntimeError
    assert not (tmp_path / "deep").exists()
    with staged_folder(target) as folder:
        (folder / "first").write_text("1")
        assert not (target / "first").exists()
    assert [path.name for path in target.iterdir()] == ["first"]


def test_a_source_that_is_none_is_refused_with_what_was_looked_for(tmp_path) -> None:
    assert_refused(crossi2p("info", tmp_path), "KITTI raw", "nuScenes")
    assert_refused(crossi2p("info", tmp_path / "missing"), "does not exist")
