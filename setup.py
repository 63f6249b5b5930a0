"""Build of the ament_python package `crossi2p_ros`, which carries `crossi2p_core`, the part without ROS."""

import shutil
import sys
from glob import glob

from setuptools import find_packages, setup

NAME = "crossi2p_ros"

# For the window of `crossi2p view`, and motion from scan to scan: open3d is large, and new Pythons wait months for it.
OPEN3D = 'open3d>=0.18; python_version < "3.15"'

# ROS 2 from PyPI, for machines without a distribution: wheels exist for these machines and Pythons only.
ROS_WHEELS = 'platform_machine == "x86_64" and sys_platform == "linux" and python_version < "3.15"'
ROS_PACKAGES = ["rclpy[fastrtps]", "diagnostic-msgs", "geometry-msgs", "lifecycle-msgs", "nav-msgs", "rosgraph-msgs",
                "sensor-msgs", "std-msgs", "std-srvs", "visualization-msgs"]

# ros2 run and ros2 launch look in lib/crossi2p_ros. colcon puts the executables there (setup.cfg); pip fills bin alone.
BY_PIP = {"bdist_wheel", "sdist"} & set(sys.argv)
EXECUTABLES = [(f"lib/{NAME}", glob("resource/executables/*"))] if BY_PIP else []

# What an earlier build has left there of modules that are gone since would slip into the wheel.
if "bdist_wheel" in sys.argv:
    shutil.rmtree("build/lib", ignore_errors=True)

setup(
    name=NAME,
    version="0.1.0",
    description="Camera-LiDAR extrinsics from one image and one scan, judged, with and without ROS 2",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["crossi2p_core", "crossi2p_core.*", "crossi2p_ros", "crossi2p_ros.*"]),
    package_data={"crossi2p_core.model": ["presets/*.yaml"],
                  "crossi2p_core.weights": ["*.safetensors", "*.json", "README.md"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml", "LICENSE"]),
        (f"share/{NAME}/launch", glob("launch/*.launch.py")),
        (f"share/{NAME}/config", glob("config/*.yaml") + glob("config/*.xml")),
        (f"share/{NAME}/config/train", glob("config/train/*.yaml")),
        (f"share/{NAME}/rviz", glob("rviz/*.rviz")),
        *EXECUTABLES,
    ],
    install_requires=[
        "numpy>=1.24",
        "torch>=2.4",
        "scipy>=1.10",
        "opencv-python-headless>=4.8",
        "poselib>=2.0",
        "rosbags>=0.10",
        "typer>=0.15.4",
        "rich>=13",
        "pyyaml>=6",
        "safetensors>=0.4",
    ],
    extras_require={
        "viz": [OPEN3D, "matplotlib>=3.8"],
        "onnx": ["onnx>=1.16", "onnxscript>=0.1", "onnxruntime>=1.18"],
        "ray": ["ray>=2.9"],
        "test": ["pytest>=7.4", "pytest-xdist>=3.5", "hypothesis>=6.100", "ruff>=0.8", "mypy>=1.13", "types-PyYAML",
                 "setuptools>=61"],
        "ros": [f"ros-kilted-{package}; {ROS_WHEELS}" for package in ROS_PACKAGES],
    },
    zip_safe=False,
    entry_points={"console_scripts": [
        "crossi2p = crossi2p_core.cli:main",
        "register_node = crossi2p_ros.register_node:main",
        "bag_player = crossi2p_ros.bag_player.command:main",
    ]},
)
