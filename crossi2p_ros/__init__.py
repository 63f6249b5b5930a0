"""The ROS 2 side of crossi2p: converts messages, calls `crossi2p_core.registrar.Registrar`, publishes the answer.

    ros_compat/       the ROS packages that we borrow, and our stand-ins where they are missing
    tf2_msgs_build/   makes the message package that ROS from PyPI lacks
    shared_files.py   where config/, launch/ and rviz/ lie once installed

The lifecycle node is not here yet, see README, "What works today".
"""
