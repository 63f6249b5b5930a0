"""The configuration: defaults, nesting, and every mistake a person makes in a YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from crossi2p_core.config import dump_config, load_config, option
from crossi2p_core.errors import InputError
from crossi2p_core.safe_yaml import MAX_BYTES, parse_yaml


@dataclass(frozen=True)
class Solver:
    threshold_px: float = option(3.0, low=0.1, high=100.0)
    backend: Literal["auto", "magsac"] = "auto"
    iterations: int = option(1000, low=1)
    scales: tuple[float, ...] = option((4.0, 2.0), low=0.5)
    window: tuple[int, int] = (5, 7)
    REMOVED: ClassVar[Mapping[str, str]] = {"ransac_px": "threshold_px"}

    def __post_init__(self) -> None:
        if self.window[0] > self.window[1]:
            raise InputError("window must not shrink; give (smaller, larger)")


@dataclass(frozen=True)
class Whole:
    solver: Solver = field(default_factory=Solver)
    seed: int | None = None
    verbose: bool = False
    name: str = "run"
    levels: tuple[Solver, ...] = ()
    limits: dict[str, float] = field(default_factory=dict)
    cache: Path = Path("cache")


def test_defaults_where_nothing_is_given(tmp_path: Path) -> None:
    empty = tmp_path / "empty.yaml"
    empty.write_text("# nothing yet\n")
    assert load_config(Whole) == load_config(Whole, {}) == load_config(Whole, empty) == Whole()


def test_values_are_filled_in_at_every_level(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("solver: {threshold_px: 2, scales: [1e-0, 8]}\nseed: 7\n"
                    "levels:\n- {iterations: 5}\nlimits: {a: 1}\n")
    assert load_config(Whole, path) == Whole(
        solver=Solver(threshold_px=2.0, scales=(1.0, 8.0)), seed=7, levels=(Solver(iterations=5),), limits={"a": 1.0})


def test_dump_reads_back_to_the_same(tmp_path: Path) -> None:
    config = Whole(solver=Solver(window=(1, 2)), levels=(Solver(), Solver(backend="magsac")), limits={"é": 2.5})
    dump_config(config, tmp_path / "deep" / "c.yaml")
    assert load_config(Whole, tmp_path / "deep" / "c.yaml") == config


def test_a_config_inside_a_mapping_is_taken_as_it_is() -> None:
    assert load_config(Whole, {"solver": Solver(iterations=3)}).solver.iterations == 3


@pytest.mark.parametrize(("values", "message"), [
    ({"sede": 1}, r"unknown key sede; did you mean seed\?"),
    ({"solver": {"treshold": 1}}, r"did you mean solver.threshold_px\?"),
    ({"zzzzzz": 1}, "the keys here are solver, seed"),
    ({"solver": {"ransac_px": 1}}, "solver.ransac_px was removed; use threshold_px"),
    ({"levels": [{}, {"iteration": 1}]}, r"did you mean levels\[1\].iterations\?"),
    ({3: 1}, "unknown key 3"),
    ({"solver": {"threshold_px": 1000}}, "solver.threshold_px must be at most 100.0; it is 1000.0"),
    ({"solver": {"iterations": 0}}, "solver.iterations must be at least 1; it is 0"),
    ({"solver": {"scales": [4, 0.1]}}, r"solver.scales\[1\] must be at least 0.5"),
    ({"solver": {"threshold_px": "wide"}}, "must be a finite number; it is 'wide'"),
    ({"solver": {"threshold_px": float("nan")}}, "must be a finite number"),
    ({"solver": {"threshold_px": True}}, "must be a finite number; it is True"),
    ({"solver": {"threshold_px": None}}, "must be a finite number; it is empty"),
    ({"solver": {"iterations": 2.5}}, "must be a whole number; it is 2.5"),
    ({"solver": {"iterations": True}}, "must be a whole number; it is True"),
    ({"verbose": 1}, "verbose must be true or false; it is 1"),
    ({"name": False}, "name must be text"),
    ({"solver": {"backend": "ransac"}}, "must be one of auto, magsac; it is 'ransac'"),
    ({"solver": {"window": [1]}}, "must be a list of 2 values"),
    ({"solver": {"scales": 4}}, "must be a list; it is 4"),
    ({"solver": {"window": [9, 2]}}, "solver: window must not shrink"),
    ({"solver": [1]}, r"solver must be a mapping of names to values; it is \[1\]"),
    ({"seed": "x"}, "seed must be a whole number"),
    ({"limits": 3}, "limits must be a mapping"),
    ([1, 2], "the whole must be a mapping"),
])
def test_a_mistake_is_named_in_words(values: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_config(Whole, values)  # type: ignore[arg-type]


LAUGHS = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"


@pytest.mark.parametrize(("text", "message"), [
    (LAUGHS, r"uses a YAML alias \(\*a\)"),
    ("solver: !!python/object/apply:os.system ['true']", "not valid YAML.*python"),
    ("name: [", "not valid YAML"),
    ("name: a\nname: b", "gives 'name' twice"),
    ("solver: {iterations: 1, iterations: 2}", "gives 'iterations' twice"),
    ("- 1\n- 2", "must be a mapping"),
    ("just words", "must be a mapping"),
    ("seed: " + "[" * 1000, "nested deeper"),
    ("name: 2024-13-45", "cannot be read"),
    ("seed: " + "1" * 5000, "cannot be read"),
    ("name: \x07", "not valid YAML"),
    ("name: !!bool maybe", "cannot be read"),
    ('seed: !!int ""', "cannot be read"),
    ("name: !!timestamp never", "cannot be read"),
    ("#" * (MAX_BYTES + 1), "larger than 256 KiB"),
    ("{[1]: 2}: 3", "not valid YAML"),
    ("--- 1\n--- 2\n", "not valid YAML"),
])
def test_hostile_yaml_is_refused_in_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_config(Whole, path)
    assert "\n" not in str(caught.value) and "c.yaml" in str(caught.value)


def test_files_that_are_no_text_files(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes(b"name: \xff\xfe")
    with pytest.raises(InputError, match="not a text file"):
        load_config(Whole, tmp_path / "c.yaml")
    for missing in (tmp_path, tmp_path / "none.yaml"):
        with pytest.raises(InputError, match="is not a file"):
            load_config(Whole, missing)


def test_plain_yaml_is_plain_data() -> None:
    assert parse_yaml("a: [1, 2.5, x, true, null]", "text") == {"a": [1, 2.5, "x", True, None]}


def test_on_and_off_are_words_where_words_are_expected(tmp_path: Path) -> None:
    """YAML 1.1 reads them as true and false."""
    @dataclass(frozen=True)
    class Switch:
        mode: Literal["auto", "off"] = "auto"
        sure: bool = False

    path = tmp_path / "switch.yaml"
    path.write_text("mode: off\nsure: on\n")
    assert load_config(Switch, path) == Switch("off", True)
    with pytest.raises(InputError, match="mode must be one of auto, off; it is"):
        load_config(Switch, {"mode": True})
