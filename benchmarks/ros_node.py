"""The node under full-size messages: `python -m benchmarks.ros_node DATA [SECONDS]`

A KITTI raw drive at 10 Hz (1.4 MB image, 1.9 MB cloud), its camera knocked by 1 deg and 10 cm, goes through real DDS
from this process to register_node in one of its own. Printed as JSON: how late a timer of the node's executor came
(what any callback would have waited), resident memory, latency and drops, and the time from messages to Sample.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from crossi2p_core.datasets import open_source
from crossi2p_core.geometry import se3
from crossi2p_core.types import Sample
from crossi2p_ros.shared_files import use_large_message_profile

RATE_HZ = 10.0
WARM_UP_S = 20.0
TICK_S = 0.005  # of the timer in the node's executor
NETWORK = {"ROS_DOMAIN_ID": "77", "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
PARAMETERS = ("-p", "repair.policy:=apply", "-p", "frames:=5")
CAMERA, LIDAR = "camera_optical", "lidar"


def main(data: str, seconds: float) -> None:
    """Drive the node for so long after it is warm, and print what was measured."""
    os.environ.update(NETWORK)
    use_large_message_profile()
    samples = list(open_source(str(next(iter(sorted(Path(data, "kitti_raw").glob("*/*_sync")))))))
    node = subprocess.Popen([sys.executable, "-m", "benchmarks.ros_node", "--node", "--ros-args", *PARAMETERS],
                            stdout=subprocess.PIPE, text=True)
    try:
        said = drive(samples, seconds, node.pid)
    finally:
        node.send_signal(signal.SIGINT)
        told, _ = node.communicate(timeout=60)
    print(json.dumps(said | json.loads(told.splitlines()[-1]) | {"message_to_sample_ms": conversion_ms(samples[0])},
                     indent=1))


def drive(samples: list[Sample], seconds: float, pid: int) -> dict[str, Any]:
    """Send frames at RATE_HZ; what the diagnostics and the system said of the node with this process id meanwhile."""
    import rclpy
    from diagnostic_msgs.msg import DiagnosticArray

    rclpy.init()
    node = rclpy.create_node("drive")
    heard: list[tuple[float, int, dict[str, str]]] = []

    def hear(message: DiagnosticArray) -> None:
        status = message.status[0]
        heard.append((time.monotonic() - begin, status.level[0], {each.key: each.value for each in status.values}))

    node.create_subscription(DiagnosticArray, "/diagnostics", hear, 10)
    send = sender(node, samples)
    begin, memory = time.monotonic(), []
    for frame in range(round((WARM_UP_S + seconds) * RATE_HZ)):
        while (left := begin + frame / RATE_HZ - time.monotonic()) > 0:
            rclpy.spin_once(node, timeout_sec=left)
        send(frame)
        if frame / RATE_HZ >= WARM_UP_S:
            memory.append(resident_mb(pid))
    rclpy.shutdown()
    return summary(heard, memory, frame + 1)


def sender(node: Any, samples: list[Sample]) -> Any:
    """A function that publishes the frame of a number, stamped now."""
    from sensor_msgs.msg import CameraInfo, Image, PointCloud2

    from crossi2p_ros.messages.live import LiveMessages
    from crossi2p_ros.ros_compat.tf2 import StaticTransformBroadcaster

    make, static = LiveMessages(), StaticTransformBroadcaster(node)
    images, infos = (node.create_publisher(kind, f"/camera/{name}", 5) for kind, name in (
        (Image, "image_raw"), (CameraInfo, "camera_info")))
    clouds = node.create_publisher(PointCloud2, "/lidar/points", 5)
    knock = se3.make(se3.exp_so3(np.radians([0.6, 0.0, 0.8])), np.array([0.0, 0.08, 0.06]))
    static.sendTransform(make.transform(se3.inverse(knock @ samples[0].T_cam_lidar), 0, LIDAR, CAMERA))

    def send(frame: int) -> None:
        sample, stamp = samples[frame % len(samples)], node.get_clock().now().nanoseconds
        infos.publish(make.camera_info(sample.camera, stamp, CAMERA))
        images.publish(make.image(sample.image, stamp, CAMERA))
        clouds.publish(make.cloud(sample.cloud, stamp, LIDAR))

    return send


def summary(heard: list[tuple[float, int, dict[str, str]]], memory: list[float], sent: int) -> dict[str, Any]:
    """Of the diagnostics after warm-up, and of resident memory in MB."""
    warm = [values for at, _, values in heard if at >= WARM_UP_S]
    counts = ("pairs", "pairs dropped", "registrations ok", "uncertain", "failed", "repairs")
    latency = [float(values["latency in all [ms]"]) for values in warm if "latency in all [ms]" in values]
    last = warm[-1]
    return {"pairs sent": sent, "levels second by second": "".join("OWE"[level] for _, level, _ in heard),
            "latency ms median": float(np.median(latency)), "latency ms p90": float(np.percentile(latency, 90)),
            **{key: int(last[key]) for key in counts},
            "memory MB first tenth, last tenth, max": [
                round(float(np.median(part)), 1) for part in (memory[:len(memory) // 10], memory[-len(memory) // 10:])]
            + [round(max(memory), 1)]}


def resident_mb(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def conversion_ms(sample: Sample) -> float:
    """Median milliseconds from the three messages to a Sample."""
    from crossi2p_ros.messages.live import LiveMessages
    from crossi2p_ros.messages.sample import sample_from_messages

    make = LiveMessages()
    three = (make.image(sample.image, 1, CAMERA), make.camera_info(sample.camera, 1, CAMERA),
             make.cloud(sample.cloud, 1, LIDAR))
    times = []
    for _ in range(50):
        begin = time.perf_counter()
        sample_from_messages(*three)
        times.append(1e3 * (time.perf_counter() - begin))
    return float(np.median(times))


def watched_node(arguments: list[str]) -> None:
    """register_node with a timer that notes how late it comes; prints percentiles when it is interrupted."""
    import rclpy
    from rclpy.clock import Clock, ClockType
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

    from crossi2p_ros.lifecycle import RegisterNode

    rclpy.init(args=arguments)
    node, executor, ticks = RegisterNode(), SingleThreadedExecutor(), [time.monotonic()]
    executor.add_node(node)
    node.create_timer(TICK_S, lambda: ticks.append(time.monotonic()), clock=Clock(clock_type=ClockType.STEADY_TIME))
    node.trigger_configure()
    node.trigger_activate()
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        executor.spin()
    gaps = 1e3 * np.diff([tick for tick in ticks if tick > ticks[0] + WARM_UP_S])
    told = {f"p{q}": round(float(np.percentile(gaps, q)), 1) for q in (50, 99, 99.9, 100)}
    print(json.dumps({"timer gap ms": told}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    if "--node" in sys.argv:
        watched_node(sys.argv)
    elif len(sys.argv) in (2, 3):
        main(sys.argv[1], float(sys.argv[2]) if len(sys.argv) == 3 else 60.0)
    else:
        sys.exit(__doc__)
