"""A bag, register_node and RViz: what register.launch.py starts, with the player's options as arguments.

    ros2 launch crossi2p_ros replay.launch.py bag:=drive decalibrate:=2,10
"""

from shlex import quote

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from crossi2p_ros.shared_files import shared_file

# name: (default or None where one has to be given, description, choices)
ARGUMENTS = {
    "bag": (None, "rosbag2 folder, .mcap, .db3 or ROS 1 .bag", ()),
    "rate": ("1.0", "times faster than recorded", ()),
    "start": ("0.0", "seconds to leave out at the beginning", ()),
    "loop": ("false", "over and over: false, back (stamps jump back at the start of each lap), onward (time goes on)",
             ("false", "back", "onward")),
    "decalibrate": ("", "DEG,CM by which the static transform between camera and LiDAR is made wrong", ()),
    "seed": ("0", "of the directions of decalibrate", ()),
}
LOOPS = {"false": [], "back": ["--loop"], "onward": ["--loop", "--onward"]}


def generate_launch_description() -> LaunchDescription:
    """Declared arguments, and register.launch.py, whose own arguments may be given too."""
    declared = [DeclareLaunchArgument(name, default_value=default, description=text, choices=list(choices) or None)
                for name, (default, text, choices) in ARGUMENTS.items()]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """register.launch.py with the bag and the player's options, those of its own `bag_arguments` last."""
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    options = ["--rate", given["rate"], "--start", given["start"], "--seed", given["seed"], *LOOPS[given["loop"]]]
    if given["decalibrate"]:
        options += ["--decalibrate", given["decalibrate"]]
    source = PythonLaunchDescriptionSource(str(shared_file("launch/register.launch.py")))
    more = LaunchConfiguration("bag_arguments", default="").perform(context)  # as given to register.launch.py
    words = f"{' '.join(quote(option) for option in options)} {more}".rstrip()
    return [IncludeLaunchDescription(source, launch_arguments={"bag": given["bag"], "bag_arguments": words}.items())]
