"""The errors Sternpost raises on purpose.

SternpostError
 ├── ConfigurationError   a setting or a file of settings is wrong          exit 78 (EX_CONFIG)
 │    └── RegistryMisconfiguredError   what answers at schema_registry.url is no registry, or wants other credentials
 ├── DependencyError      Kafka or the registry lacks something it needs    exit 69 (EX_UNAVAILABLE)
 │    ├── RegistryUnavailableError     it does not answer for now: the only one of these that passes by itself
 │    ├── RegistryRefusedError         it answers, and does not let us
 │    │    └── SchemaIncompatibleError
 │    └── SchemaNotFoundError          it answers, and has not got the schema
 ├── CheckFailedError          a check ran and found a problem                   exit 1
 └── Halted               the processor stopped itself rather than go on    exit 70 (EX_SOFTWARE)

Each message is for the person at the terminal: it names the setting, topic or file at fault and says what to do.
Bad *payloads* are no errors: they are data, and end as dead letters (`schemas.error_codes`).
"""


class SternpostError(Exception):
    """Base of all; `exit_code` is what the command line exits with."""

    exit_code = 1

    def __init__(self, problem: str, mend: str = "") -> None:
        """`mend`: what to do about it, where the problem's own sentence does not say so."""
        super().__init__(f"{problem}; {mend}" if mend else problem)
        self.problem, self.mend = problem, mend


class ConfigurationError(SternpostError):
    """A setting has no, or an unusable, value."""

    exit_code = 78


class DependencyError(SternpostError):
    """Something outside (a broker, a topic, the registry, a download) is missing or refuses us."""

    exit_code = 69


class RegistryMisconfiguredError(ConfigurationError):
    """What answers at `schema_registry.url` is no schema registry, or wants other credentials or certificates."""


class RegistryUnavailableError(DependencyError):
    """The schema registry does not answer, or answers with a passing fault of its own; trying again may help."""


class RegistryRefusedError(DependencyError):
    """The schema registry answers, and does not do what was asked: no right to it, read-only, invalid."""


class SchemaIncompatibleError(RegistryRefusedError):
    """The schema breaks the compatibility that its subject promises."""


class SchemaNotFoundError(DependencyError):
    """The schema registry answers, and has no such schema, version or subject."""


class CheckFailedError(SternpostError):
    """What was to be checked is not as it should be."""

    exit_code = 1


class ProcessorHaltedError(SternpostError):
    """Going on would do harm (too many dead letters, for one); nothing was lost, and a person must look."""

    exit_code = 70
