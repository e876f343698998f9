"""The one family of errors that a user of sparq-perf can cause."""


class SparqPerfError(Exception):
    """Base of every error that is the input's fault, not the program's.

    The message is one line that names the file or argument, the field, the value and the mend. The command
    line prints it on stderr and exits with code 2.
    """


class ProfileError(SparqPerfError):
    """A hardware, model or suite profile that cannot be found, read or believed."""


class ConfigError(SparqPerfError, ValueError):
    """A shape or SparQ setting that cannot exist, such as ``rank > head_dim``."""
