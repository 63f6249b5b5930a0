"""What the network costs: `python -m benchmarks.network [OUT.json]`

For both sizes, several numbers of points and batches: parameters, FLOPs, latency by stage, throughput and peak memory,
on the CPU and, where there is one, on the GPU; beside it the floor, FLOPs over the measured rate of a large matrix
product or bytes over the measured rate of copying, whichever is slower. Medians of REPEATS runs; the table goes to
`docs/network_cost.md`.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from crossi2p_core import atomic
from crossi2p_core.model.batch import Batch, collate
from crossi2p_core.model.config import NetworkConfig, preset
from crossi2p_core.model.network import Network
from crossi2p_core.model.point_pyramid import build_pyramid
from crossi2p_core.solve.from_matches import poses_from_matches

REPEATS = 7
PATIENCE_S = 10.0
CASES = (("light", None), ("light", 20480), ("light", 40960), ("full", 20480), ("full", 40960))  # None: as it is
WIDE, RATIO = (160, 512), 4  # image and thinning of all others
BATCHES = (1, 4, 16)
TABLE = Path(__file__).parent.parent / "docs" / "network_cost.md"
AIMS_MS = {("light", 4096): 200.0, ("light", 20480): 200.0, ("light", 40960): 200.0, ("full", 20480): 1500.0,
           ("full", 40960): 1500.0}
STAGES = ("image_encoder", "point_encoder", "coarse", "fine")


def main(arguments: list[str]) -> None:
    """Every case in a process of its own, so that peak memory is its own."""
    rows = []
    for name, points in CASES:
        for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
            command = [sys.executable, "-m", "benchmarks.network", "--case", name, str(points or ""), device]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            print(json.dumps(rows[-1]), flush=True)
    if arguments:
        atomic.write_text(Path(arguments[0]), json.dumps(rows, indent=1))
    atomic.write_text(TABLE, table(rows))


def measured(name: str, points: int | None, device: str) -> dict[str, Any]:
    """All numbers of one case."""
    config = preset(name)
    if points:
        config = replace(config, size=WIDE, points=replace(config.points, points=points, ratio=RATIO))
    network = Network(config).to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    one = random_batch(config)
    pyramid_ms = milliseconds(lambda: random_batch(config), "cpu")
    batch = one.to(device)
    with torch.inference_mode(), torch.autocast(device, torch.bfloat16):
        stages = stage_milliseconds(network, batch, device)
        with FlopCounterMode(display=False) as flops:
            said = network(batch)
        pose = milliseconds(lambda: poses_from_matches(said, batch, config.grid), device)
        rates = {}
        for size in BATCHES:
            many = collate([one] * size).to(device)
            rates[size] = size / milliseconds(lambda many=many: network(many), device) * 1e3  # type: ignore[misc]
    bytes_moved = activation_bytes(network, batch, device)
    floor = 1e3 * max(flops.get_total_flops() / flop_rate(device), bytes_moved / byte_rate(device))
    sizes = f"{config.size[0]} x {config.size[1]}", config.points.points, config.points.level_sizes[-1]
    return {"size": name, **dict(zip(("image", "points", "superpoints"), sizes, strict=True)),
            "device": device_name(device), "threads": torch.get_num_threads(),
            "parameters M": sum(p.numel() for p in network.parameters()) / 1e6,
            "GFLOPs": flops.get_total_flops() / 1e9, "MB moved": bytes_moved / 1e6, "floor ms": floor,
            "input ms": pyramid_ms, **{f"{stage} ms": value for stage, value in stages.items()}, "pose ms": pose,
            "pairs/s": rates, "peak MB": peak_mb(device)}


def random_batch(config: NetworkConfig) -> Batch:
    """A pair of noise, of the right size; its cost is that of the pyramid."""
    rng = np.random.default_rng(0)
    count = 2 * config.points.points
    angle, distance = rng.uniform(-np.pi, np.pi, count), 4 + rng.gamma(2.0, 8.0, count).clip(max=70)
    xyz = np.stack([distance * np.cos(angle), distance * np.sin(angle), rng.uniform(-2, 2, count)], axis=1)
    cloud = build_pyramid(xyz.astype(np.float32), np.ones((count, 2), np.float32), config.points, rng)
    height, width = config.size
    K = torch.tensor([[[300.0, 0, width / 2], [0, 300.0, height / 2], [0, 0, 1]]])
    return Batch(torch.rand(1, config.image.channels, height, width), K,
                 torch.ones(1, height, width, dtype=torch.bool), cloud)


def stage_milliseconds(network: Network, batch: Batch, device: str) -> dict[str, float]:
    """Of every stage, and of the whole."""
    times: dict[str, list[float]] = {stage: [] for stage in STAGES}
    hooks = []
    for stage in STAGES:
        begun: list[float] = []

        def before(*_: Any, begun: list[float] = begun) -> None:
            begun.append(now(device))

        def after(*_: Any, begun: list[float] = begun, kept: list[float] = times[stage]) -> None:
            kept.append(1e3 * (now(device) - begun.pop()))

        module = getattr(network, stage)
        hooks += [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
    for _ in range(REPEATS + 1):
        network(batch)
    for hook in hooks:
        hook.remove()
    whole = milliseconds(lambda: network(batch), device)
    return {stage: statistics.median(kept[1:]) for stage, kept in times.items()} | {"network": whole}


def milliseconds(work: Callable[[], Any], device: str) -> float:
    """Median of REPEATS, fewer where that would take longer than PATIENCE_S, after one to warm up."""
    times: list[float] = []
    work()
    while not times or (len(times) < REPEATS and sum(times) < PATIENCE_S):
        begin = now(device)
        work()
        times.append(now(device) - begin)
    return 1e3 * statistics.median(times)


def now(device: str) -> float:
    """Seconds, once the device has done what it was told."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def flop_rate(device: str) -> float:
    """FLOPs per second of a large bf16 matrix product."""
    side = 8192 if device == "cuda" else 1024
    a = torch.rand(side, side, device=device).bfloat16()
    return 2 * side**3 / milliseconds(lambda: a @ a, device) * 1e3


def byte_rate(device: str) -> float:
    """Bytes per second read and written by copying more than any cache holds."""
    x = torch.zeros(2**28 if device == "cuda" else 2**26, dtype=torch.uint8, device=device)
    return 2 * x.numel() / milliseconds(lambda: x.clone(), device) * 1e3


def activation_bytes(network: nn.Module, batch: Batch, device: str) -> int:
    """Weights, and what every leaf module writes and another reads."""
    moved = sum(p.numel() * p.element_size() for p in network.parameters())

    def count(module: nn.Module, given: Any, made: Any) -> None:
        nonlocal moved
        if isinstance(made, Tensor):
            moved += 2 * made.numel() * made.element_size()

    hooks = [module.register_forward_hook(count) for module in network.modules() if not list(module.children())]
    with torch.inference_mode(), torch.autocast(device, torch.bfloat16):
        network(batch)
    for hook in hooks:
        hook.remove()
    return moved


def peak_mb(device: str) -> float:
    """The most memory held: of the GPU, or resident."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def device_name(device: str) -> str:
    """As a person would call it."""
    return torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    names = ("size", "image", "points", "superpoints", "device", "parameters M", "GFLOPs", "floor ms", "input ms",
             "image_encoder ms", "point_encoder ms", "coarse ms", "fine ms", "network ms", "pose ms", "peak MB")
    heads = [*names, *(f"pairs/s at {size}" for size in BATCHES)]
    lines = ["# What the network costs", "", "Made by `python -m benchmarks.network`: bf16, random weights; medians. "
             "`input` is the pyramid, on the CPU. The first row is `light` as it is. The H200's rows were made "
             "while twelve other processes kept its 16 cores busy; there one pair waits for Python, not for the GPU: "
             "sixteen take hardly longer.", "",
             "| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for row in rows:
        values = [row[name] for name in names] + [row["pairs/s"][str(size)] for size in BATCHES]
        lines.append("| " + " | ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in values) + " |")
    return "\n".join([*lines, "", *growth(rows)]) + "\n"


def growth(rows: list[dict[str, Any]]) -> list[str]:
    """In words, how cost grows with points, for each size and device; and which aims are met on CPUs."""
    told = []
    for few in rows:
        for many in rows:
            if (few["size"], few["device"], few["image"], 2 * few["points"]) == (
                    many["size"], many["device"], many["image"], many["points"]):
                factors = (f"{name.removesuffix(' ms')} {many[name] / few[name]:.1f}"
                           for name in ("input ms", "point_encoder ms", "coarse ms", "network ms", "pose ms"))
                told.append(f"- Twice the points, `{few['size']}`, {few['device']}, times: {', '.join(factors)}.")
        aim = AIMS_MS.get((few["size"], few["points"])) if "CPU" in few["device"] else None
        if aim is not None:
            met = "met" if few["network ms"] < aim else "missed"
            told.append(f"- Aim for the network of `{few['size']}` at {few['points']} points on two CPU cores, below "
                        f"{aim:g} ms: {few['network ms']:.0f} ms, {met}.")
    return told


if __name__ == "__main__":
    if sys.argv[1:2] == ["--case"]:
        print(json.dumps(measured(sys.argv[2], int(sys.argv[3] or 0) or None, sys.argv[4])))
    else:
        main(sys.argv[1:])
