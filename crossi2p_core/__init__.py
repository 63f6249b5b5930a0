"""crossi2p without ROS: from one image and one LiDAR scan to a judged camera-LiDAR extrinsic."""

__version__ = "0.1.0"
