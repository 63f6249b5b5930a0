"""register_node, configured and activated; a bag and RViz beside it on request.

    ros2 launch crossi2p_ros register.launch.py --show-args
    ros2 launch crossi2p_ros register.launch.py image_topic:=/front/image_raw cloud_topic:=/velodyne_points
"""

from pathlib import Path
from shlex import split

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.events import matches_action
from launch.events.process import ProcessExited
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from lifecycle_msgs.msg import Transition

from crossi2p_core.errors import InputError
from crossi2p_ros.interface import OUTPUTS
from crossi2p_ros.parameter_file import written_parameters
from crossi2p_ros.shared_files import PACKAGE, profile_variable, shared_file, use_large_message_profile

# name: (default, description, choices); of those in PARAMETERS an empty value leaves what params_file says.
ARGUMENTS = {
    "params_file": ("register.yaml", "YAML file with the node's parameters, or one of the package's config folder: "
                    "register.yaml, kitti.yaml, nuscenes.yaml", ()),
    "namespace": ("", "of node and RViz, such as front; one for each camera where there are several", ()),
    "image_topic": ("", "Image or CompressedImage", ()),
    "camera_info_topic": ("", "CameraInfo; default: camera_info beside the image", ()),
    "cloud_topic": ("", "PointCloud2", ()),
    "camera_frame": ("", "optical frame of the camera; default: as the images say", ()),
    "lidar_frame": ("", "frame of the LiDAR, fixed frame of RViz; default: as the clouds say", ()),
    "mode": ("", "when to register", ("", "continuous", "periodic", "manual")),
    "device": ("", "auto, cpu, cuda or cuda:N", ()),
    "autostart": ("true", "configure and activate the node, whatever params_file says", ("true", "false")),
    "use_sim_time": ("auto", "time from /clock; auto: when a bag is played, else as params_file says",
                     ("auto", "true", "false")),
    "bag": ("", "bag to play once the node is active: rosbag2 folder, .mcap, .db3 or ROS 1 .bag", ()),
    "bag_arguments": ("", "further options of bag_player, such as '--rate 0.5 --decalibrate 2,10'", ()),
    "rviz": ("auto", "show register.rviz; auto: where there are RViz and a display", ("auto", "true", "false")),
}
PARAMETERS = ("image_topic", "camera_info_topic", "cloud_topic", "camera_frame", "lidar_frame", "mode", "device")
NODE = "register_node"
CLOUD_IN_RVIZ = "/lidar/points"  # as register.rviz has it


def generate_launch_description() -> LaunchDescription:
    """Declared arguments, and what `start` makes of them."""
    declared = [DeclareLaunchArgument(name, default_value=default, description=text, choices=list(choices) or None)
                for name, (default, text, choices) in ARGUMENTS.items()]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Everything to be started, from the arguments as they were given."""
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    if given["use_sim_time"] == "auto" and given["bag"]:
        given["use_sim_time"] = "true"
    environment = dict(context.environment)
    profile = str(use_large_message_profile(environment))
    return [SetEnvironmentVariable(profile_variable(environment), profile), *node_and_bag(given), *rviz(given, context)]


def node_and_bag(given: dict[str, str]) -> list[LaunchDescriptionEntity]:
    """register_node with what leads it through its states, and the player that waits until it is active."""
    node = LifecycleNode(
        package=PACKAGE, executable="register_node", name=NODE, namespace=given["namespace"], output="screen",
        parameters=[str(parameters(given["params_file"])), overrides(given)],
        on_exit=node_ended)
    steps: list[LaunchDescriptionEntity] = []
    if given["bag"]:
        player = Node(package=PACKAGE, executable="bag_player", output="screen",
                      arguments=[given["bag"], "--clock", *split(given["bag_arguments"])])
        steps.append(RegisterEventHandler(OnStateTransition(
            target_lifecycle_node=node, start_state="activating", goal_state="active", entities=[player],
            handle_once=True)))
    steps.append(node)
    if given["autostart"] == "true":
        steps += autostart(node)
    return steps


def overrides(given: dict[str, str]) -> dict[str, bool | str]:
    """Parameters of the node that count whatever params_file says."""
    chosen: dict[str, bool | str] = {name: given[name] for name in PARAMETERS if given[name]}
    chosen["autostart"] = False  # it is led from here: states that it goes through by itself would be missed
    if given["use_sim_time"] != "auto":
        chosen["use_sim_time"] = given["use_sim_time"] == "true"
    return chosen


def node_ended(event: ProcessExited, context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Without the node there is nothing to be shown: end everything, unless that is what is going on."""
    return [] if context.is_shutdown else [Shutdown(reason="register_node has ended")]


def autostart(node: LifecycleNode) -> list[LaunchDescriptionEntity]:
    """Configure the node, and activate it once that has gone well; what is done by hand later stays as it was left."""
    configure, activate = (EmitEvent(event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=each))
                           for each in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE))
    then = OnStateTransition(target_lifecycle_node=node, start_state="configuring", goal_state="inactive",
                             entities=[activate], handle_once=True)
    return [RegisterEventHandler(then), configure]


def rviz(given: dict[str, str], context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """RViz if it is wanted and here; otherwise words, where it was wanted for certain."""
    display = any(context.environment.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    if given["rviz"] == "false" or (given["rviz"] == "auto" and not display):
        return []
    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError:
        return [] if given["rviz"] == "auto" else [LogInfo(msg="rviz2 is not installed, so there is no window")]
    frame, remappings, sim_time = shown_in_rviz(given)
    fixed_frame = ["-f", frame] if frame else []
    return [Node(package="rviz2", executable="rviz2", namespace=given["namespace"], remappings=remappings,
                 arguments=["-d", str(shared_file("rviz/register.rviz")), *fixed_frame],
                 parameters=[{"use_sim_time": sim_time}])]


def shown_in_rviz(given: dict[str, str]) -> tuple[str, list[tuple[str, str]], bool]:
    """The fixed frame, empty where register.rviz has it; names of register.rviz with those that they stand for; and
    whether time is that of /clock, as the node has it."""
    namespace = given["namespace"].strip("/")
    node = f"/{namespace}/{NODE}" if namespace else f"/{NODE}"
    written = written_parameters(parameters(given["params_file"]), node)
    frame, cloud = (given[name] or str(written.get(name, "")) for name in ("lidar_frame", "cloud_topic"))
    names = {CLOUD_IN_RVIZ: cloud or CLOUD_IN_RVIZ}
    names |= {f"/{NODE}/{each.name[2:]}": f"{node}/{each.name[2:]}" for each in OUTPUTS if each.name.startswith("~/")}
    remappings = [(name, real) for name, real in names.items() if name != real]
    asked = given["use_sim_time"]
    return frame, remappings, bool(written.get("use_sim_time", False)) if asked == "auto" else asked == "true"


def parameters(name: str) -> Path:
    """The file of that path, or of that name in the package's config folder."""
    path = Path(name).expanduser()
    if path.is_file():
        return path
    if len(path.parts) > 1:
        raise InputError(f"params_file:={name}: there is no such file; give another path, or the name of one of the "
                         "package's config folder")
    return shared_file(f"config/{name}")
