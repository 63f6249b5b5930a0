"""Load a ROS package if it is here and works, and remember in words which one is in use."""

from __future__ import annotations

import io
from contextlib import redirect_stderr
from importlib import import_module, metadata
from types import ModuleType

CHOICES: dict[str, str] = {}  # package -> what is in use, filled as the modules of this folder are imported


def borrow(package: str, *, module: str = "", proof: str = "") -> ModuleType | None:
    """The real `module` (default: the package itself), or None where our own has to stand in.

    `proof` is a further module that has to load: some packages import well and fail when first used. Whatever is
    raised counts as absent, for a library built against another numpy raises ImportError, AttributeError,
    RuntimeError or SystemError; the page that numpy then writes on stderr is withheld, its last line is kept.
    """
    module = module or package
    try:
        with redirect_stderr(io.StringIO()):
            import_module(proof or module)
            loaded = import_module(module)
    except Exception as error:
        CHOICES[package] = f"crossi2p ({_reason(package, error)})"
        return None
    CHOICES[package] = f"ROS {_version(package)}".strip()
    return loaded


def _reason(package: str, error: Exception) -> str:
    """Why the real package is not in use, on one line."""
    if isinstance(error, ModuleNotFoundError) and error.name == package:
        return "not installed"
    lines = str(error).strip().splitlines() or [""]
    return f"does not load, {type(error).__name__}: {lines[-1]}"


def _version(package: str) -> str:
    """Version of an installed package, empty where it does not tell."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
