"""Stand-in for what tf2 raises; TransformException is caught for all of them."""


class TransformException(Exception):
    """A transform cannot be given."""


class LookupException(TransformException):
    """A frame is not known."""


class ConnectivityException(TransformException):
    """Two frames are not in one tree."""


class ExtrapolationException(TransformException):
    """The time that was asked for lies outside what was heard."""


class InvalidArgumentException(TransformException):
    """A frame has no name, or one that starts with a slash."""
