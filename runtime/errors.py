"""The errors Sternpost raises on purpose.

SternpostError
 ├── ConfigurationError   a setting or a file of settings is wrong          exit 78 (EX_CONFIG)
 ├── DependencyError      Kafka or the registry lacks something it needs    exit 69 (EX_UNAVAILABLE)
 ├── CheckFailed          a check ran and found a problem                   exit 1
 └── Halted               the processor stopped itself rather than go on    exit 70 (EX_SOFTWARE)

Each message is for the person at the terminal: it names the setting, topic or file at fault and says what to do.
Bad *payloads* are no errors: they are data, and end as dead letters (`schemas.rejection`).
"""


class SternpostError(Exception):
    """Base of all; `exit_code` is what the command line exits with."""

    exit_code = 1


class ConfigurationError(SternpostError):
    """A setting has no, or an unusable, value."""

    exit_code = 78


class DependencyError(SternpostError):
    """Something outside (a broker, a topic, the registry, a download) is missing or refuses us."""

    exit_code = 69


class CheckFailed(SternpostError):
    """What was to be checked is not as it should be."""

    exit_code = 1


class Halted(SternpostError):
    """Going on would do harm (too many dead letters, for one); nothing was lost, and a person must look."""

    exit_code = 70
