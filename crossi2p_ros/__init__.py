"""The ROS 2 side of crossi2p: converts messages, calls `crossi2p_core.registrar.Registrar`, publishes the answer.

    register_node.py  the executable; lifecycle.py is the node, which wires what follows
    parameters.py     the one table of parameters, declared by declaration.py; interface.py that of topics, services and
                      diagnostic values
    generated_docs.py makes config/register.yaml and the tables of docs/ros.md of both
    inputs.py         topics to pairs, calibrations.py the newest CameraInfo; streams.py says why no pairs come
    prior.py          where a registration starts; gates.py says which pairs are passed over
    worker.py         the thread that owns the device: pairs to outcomes
    outcome.py        what one registration gave; ledger.py what all of them gave
    sequel.py         what follows from it: guard.py watches the reference and heard.py what has told already, repair.py
                      says when it is replaced, watch_file.py keeps it
    outputs.py        outcomes to topics; tf_owner.py to TF, markers.py to RViz, saved_files.py to disk
    report.py         what is to be said of the node; diagnostics.py says it once per second
    services.py       what an operator asks for
    bag_player/       plays bags through DDS, on request with a wrong extrinsic; see docs/launch.md
    messages/         messages to samples and answers to messages
    ros_compat/       the ROS packages that we borrow, and our stand-ins where they are missing
    tf2_msgs_build/   makes the message package that ROS from PyPI lacks
    shared_files.py   where config/, launch/ and rviz/ lie once installed
"""
