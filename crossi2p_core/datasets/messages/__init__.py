"""ROS messages to and from what flows through the house, for bags and for a live node alike.

images, camera_info, clouds, transforms read; factory writes. Messages are duck-typed: whatever has the fields of
sensor_msgs and geometry_msgs will do, from `rosbags` (ROS 1 or 2) or from rclpy, so nothing here imports either.
"""
