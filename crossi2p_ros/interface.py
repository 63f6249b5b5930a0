"""Every topic, service and diagnostic value of the node: name, type, quality of service, when, what for. No ROS here.

The rooms that publish and serve take their names from here, docs/ros.md its tables; a test asks a running node whether
it really offers this and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

from .parameters import Settings

LATCHED = "reliable, transient local"
RELIABLE = "reliable, volatile"
BEST_EFFORT = "best effort, volatile"
TRIGGER = "std_srvs/srv/Trigger"


@dataclass(frozen=True)
class Topic:
    """A topic in one direction. name: `~` stands for the node's own. parameter: what names it instead.

    kind: package/msg/Type. qos: reliability and durability of our side, by default.
    """

    name: str
    kind: str
    qos: str
    when: str
    meaning: str
    parameter: str = ""

    def called(self, node: str, settings: Settings) -> str:
        """Its full name, for a node with that name in the root namespace."""
        if self.parameter:
            return getattr(settings, self.parameter) or settings.info_topic  # only this one may be empty
        return self.name.replace("~", f"/{node}", 1)


@dataclass(frozen=True)
class Service:
    """A service. name: as of Topic. fails: when its answer has success false."""

    name: str
    kind: str
    meaning: str
    fails: str


TF = Topic("/tf", "tf2_msgs/msg/TFMessage", RELIABLE, "while configured",
           "start and motion of the vehicle, where parameters ask for them; watched for a second parent of our frame")
TF_STATIC = Topic("/tf_static", "tf2_msgs/msg/TFMessage", LATCHED, "while configured", "the same for what never moves")
INPUTS = (
    Topic("", "sensor_msgs/msg/Image", BEST_EFFORT, "while active",
          "the picture; sensor_msgs/msg/CompressedImage where the name ends in `/compressed`", "image_topic"),
    Topic("", "sensor_msgs/msg/CameraInfo", BEST_EFFORT, "while active",
          "the newest one belongs to every picture, its stamp does not count; one that was published once and latched "
          "is heard, too", "camera_info_topic"),
    Topic("", "sensor_msgs/msg/PointCloud2", BEST_EFFORT, "while active",
          "x, y, z; intensity (`intensity`, `reflectivity` or `i`) and times where they are there", "cloud_topic"),
    TF,
    TF_STATIC,
)

EXTRINSIC = Topic("~/extrinsic", "geometry_msgs/msg/TransformStamped", LATCHED,
                  "an answer is believed, or becomes the reference",
                  "where the camera's optical frame is in the LiDAR frame, with the scan's stamp")
POSE = Topic("~/pose", "geometry_msgs/msg/PoseWithCovarianceStamped", LATCHED,
             "an answer is believed, or becomes the reference", "the same with its covariance")
OVERLAY = Topic("~/overlay", "sensor_msgs/msg/Image", LATCHED, "every answer, if someone listens",
                "the scan drawn on the picture by the answer, with status and deviation")
COLORED_POINTS = Topic("~/colored_points", "sensor_msgs/msg/PointCloud2", LATCHED, "every answer, if someone listens",
                       "the points that the camera sees, with its colours, in the LiDAR frame")
MATCHES = Topic("~/matches", "visualization_msgs/msg/MarkerArray", LATCHED, "every answer, if someone listens",
                "the scan's edges in view, coloured by kind, and the camera's frustum, in the LiDAR frame")
TF_OUT = Topic("/tf_static", "tf2_msgs/msg/TFMessage", LATCHED, "likewise, or by `tf.publish` every answer, or never",
               "the registered camera, or the edge `tf.parent` -> `tf.child`; from the first answer on")
DIAGNOSTICS = Topic("/diagnostics", "diagnostic_msgs/msg/DiagnosticArray", RELIABLE, "1 Hz in every state",
                    "what the node thinks of the extrinsic, or what keeps it from working")
OUTPUTS = (EXTRINSIC, POSE, OVERLAY, COLORED_POINTS, MATCHES, TF_OUT, DIAGNOSTICS)

CALIBRATE = Service("~/calibrate", TRIGGER, "register the newest pairs now, in any mode, and answer when that is done",
                    "there is no pair, it cannot be used, or the answer is not `ok`")
SAVE = Service("~/save", TRIGGER,
               "write the repair that is proposed, else the estimate in use, else (and after `~/calibrate`) the last "
               "valid result to `save_path` and beside it, former files as `.bak`",
               "there is none of them, or the place cannot be written, or holds the extrinsic of other frames")
RESET = Service("~/reset", TRIGGER, "forget results and what was accepted; the reference is that of `prior.source`",
                "never")
ACCEPT = Service("~/accept", TRIGGER,
                 "the repair that is proposed, else (and after `~/calibrate`) the last valid result, becomes the "
                 "reference",
                 "there is none of them, or TF between the sensors moves from scan to scan")
SERVICES = (CALIBRATE, SAVE, RESET, ACCEPT)

# Key by key as in /diagnostics; STAGE, INPUT and REASON stand for many.
DIAGNOSTIC_VALUES = {
    "state": "of the lifecycle: unconfigured, inactive, active, ...",
    "mode": "as the parameter says",
    "reference": "what the answers start from and are compared with: `prior.source`, or `accepted estimate`",
    "calibration": "calibrated, suspect, decalibrated, repaired or unknown; see [monitoring](monitoring.md)",
    "why": "what that rests on: by how much, since when, or why it cannot be told",
    "last result": "status of the last answer: ok, uncertain or failed",
    "reason": "why, in words",
    "reprojection error [px]": "how far depth edges lie from image edges, after the registration",
    "edges in view": "depth edges of the scan inside the image",
    "edges with an image edge": "those of them that have an image edge near by",
    "overlap of cloud and image": "share of the usable scan inside the image, 0 to 1",
    "standard deviation rotation [deg]": "how unsure the answer is of itself",
    "standard deviation translation [cm]": "likewise",
    "doubt about the start": "share of small moves away from the reference that fit better; near 0 where it is right",
    "image to cloud [ms]": "stamp of the image minus that of the cloud, `sync.time_offset` included",
    "latency in all [ms]": "from the arrival of the pair to the answer",
    "latency STAGE [ms]": "of one stage: `convert` is messages to arrays, the others are the registration's",
    "deviation rotation [deg]": "of the last valid answer from the reference of this moment",
    "deviation translation [cm]": "likewise",
    "age of last valid result [s]": "since it was computed; see `warn.age`",
    "rate INPUT [Hz]": "messages per second on this input of late; 0 once it is silent",
    "registrations ok": "answers so far, since the node was configured",
    "uncertain": "likewise",
    "failed": "likewise",
    "agreeing answers": "those in a row that say so far that the reference is wrong, up to `repair.agreeing` (unless "
                         "`repair.policy` is report)",
    "searches from scratch": "how often nothing fitted near the reference any more, and the camera was looked for "
                             "in ten pairs that fit nowhere",
    "repairs": "estimates that became the reference by themselves (`repair.policy` apply)",
    "pairs": "image and cloud brought together, since the node was activated",
    "pairs dropped": "those that a newer one overtook before they were used (mode continuous)",
    "pairs passed over for motion": "see `gate.fixed_frame`",
    "pairs whose motion is unknown": "likewise; none of them is passed over",
    "empty stamps": "messages without a stamp, which cannot be synchronised",
    "jumps back in time": "of the clock or of stamps; each one empties what waits",
    "device": "where the registration computes",
    "memory [MB]": "of the GPU by this node, or resident where it computes on the CPU",
    "refused: REASON": "messages or pairs that could not be used for this reason; `#` stands for numbers",
}
