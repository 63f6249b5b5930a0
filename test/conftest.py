"""What several tests need: the folder of real recordings, which never enters the repository."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Real frames (see README, "Real data for the tests"): CROSSI2P_DATA, default ../shared/data."""
    path = Path(os.environ.get("CROSSI2P_DATA", REPOSITORY.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"no real recordings at {path}; set CROSSI2P_DATA to the folder that holds them")
    return path
