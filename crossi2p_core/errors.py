"""The one error that callers show to people."""


class InputError(ValueError):
    """Something the user gave cannot be used; the message says what, where and what to do.

    The command line prints the message alone and ends with exit code 2; the ROS node turns it into a
    status and a diagnostic. Anything else that is raised is a bug of ours.
    """
