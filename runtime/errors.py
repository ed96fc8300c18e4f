"""Every error that is raised on purpose and crosses a folder.

For the person at the terminal: the message names the setting, topic or file at fault and says what to do, and the
command line or service ends with the exit code (https://man.openbsd.org/sysexits).

SternpostError
 ├── ConfigurationError               a setting or a file of settings is wrong              78 EX_CONFIG
 │    └── RegistryMisconfiguredError  schema_registry.url is not a registry's, or it wants
 │                                    other credentials
 ├── DependencyError                  Kafka, the registry or a download is missing          69 EX_UNAVAILABLE
 │    │                               something or refuses us
 │    ├── KafkaRequestError           the brokers do not answer, or refuse what was asked
 │    ├── RegistryUnavailableError    the registry does not answer for now: the only one
 │    │                               of these that may pass by itself
 │    ├── RegistryRefusedError        the registry answers, and does not do what was asked
 │    │    └── SchemaIncompatibleError
 │    └── SchemaNotFoundError         the registry answers, and does not have the schema
 ├── CheckFailedError                 a check ran and found a problem                        1
 └── ProcessorHaltedError             the processor stopped itself rather than do harm      70 EX_SOFTWARE

For the code that uses a Kafka client, which recovers. The processor does (`processor/stream_processor.py` has the
table); a command turns it into a DependencyError.

KafkaClientError
 ├── TransactionAbortedError          nothing was written: go back to the committed offsets
 ├── ClientUnusableError              close the client and make another
 │    └── ProducerFencedError         another producer took its transactional id, or the brokers ended the transaction
 ├── InstanceFencedError              another process has this member's place in the group: do not come back
 └── InstanceInUseError               another process, or one that died, still has this member's place: try again

Errors that do not cross a folder stand where they are raised: `StateError` in processor/deduplication, those of a
request's body in ingest/request_body.py. A bad *payload* is not an error: it is data, and ends as a dead letter with a
code of `schemas/error_codes.py`.
"""


class SternpostError(Exception):
    """An error for the person at the terminal; `exit_code` is what the command line exits with."""

    exit_code = 1

    def __init__(self, problem: str, remedy: str = "") -> None:
        """`remedy` says what to do, unless `problem` does already."""
        super().__init__(f"{problem}; {remedy}" if remedy else problem)
        self.problem, self.remedy = problem, remedy


class ConfigurationError(SternpostError):
    """A setting has no value, or one that cannot be used."""

    exit_code = 78


class DependencyError(SternpostError):
    """Something outside (a broker, a topic, the registry, a download) is missing or refuses us."""

    exit_code = 69


class KafkaRequestError(DependencyError):
    """The brokers do not answer, or refuse what was asked."""

    def __init__(self, problem: str, remedy: str = "", *, name: str = "", detail: str = "") -> None:
        super().__init__(problem, remedy)
        self.name = name
        """The error as librdkafka names it: `TOPIC_ALREADY_EXISTS`, `_TIMED_OUT`; empty if there is none.

        https://github.com/confluentinc/librdkafka/blob/master/src/rdkafka.h (rd_kafka_resp_err_t)
        """
        self.detail = detail or problem
        """The broker's own sentence."""


class RegistryMisconfiguredError(ConfigurationError):
    """What answers at `schema_registry.url` is not a schema registry, or wants other credentials or certificates."""


class RegistryUnavailableError(DependencyError):
    """The schema registry does not answer, or answers with a passing fault of its own; trying again may help."""


class RegistryRefusedError(DependencyError):
    """The schema registry answers and does not do what was asked: not allowed, read-only, or invalid."""


class SchemaIncompatibleError(RegistryRefusedError):
    """The schema breaks the compatibility that its subject promises."""


class SchemaNotFoundError(DependencyError):
    """The schema registry answers, and has no such schema, version or subject."""


class CheckFailedError(SternpostError):
    """A check ran and found a problem."""

    exit_code = 1


class ProcessorHaltedError(SternpostError):
    """Going on would do harm (too many dead letters, for one); nothing was lost, and a person must look."""

    exit_code = 70


class KafkaClientError(Exception):
    """A Kafka client cannot go on as it is; whoever uses it decides how to recover."""

    def __init__(self, cause: str, *, detail: str = "") -> None:
        """`cause` is short and fit for a metric's label; `detail` is the client's or broker's own sentence."""
        super().__init__(cause)
        self.cause = cause
        self.detail = detail or cause


class TransactionAbortedError(KafkaClientError):
    """The transaction did not take place: go back to the committed offsets and begin again."""

    def __init__(self, cause: str, record_fault: str | None = None, *, detail: str = "") -> None:
        super().__init__(cause, detail=detail)
        self.record_fault = record_fault
        """The brokers' reason if they refused one of the records for good, else None."""


class ClientUnusableError(KafkaClientError):
    """The producer or the membership is of no more use: make both again."""


class ProducerFencedError(ClientUnusableError):
    """The producer's place was taken.

    Either another process has its transactional id, or the brokers ended a transaction that took too long. Only the
    group can tell which.
    """


class InstanceFencedError(KafkaClientError):
    """Another process has this member's name, and so its place in the group."""


class InstanceInUseError(KafkaClientError):
    """The brokers still count a process with this member's name as a member: one that runs, or that died just now.

    Raised with the group protocol `consumer` only, where the first process keeps the place; in `classic` the last one
    takes it.
    """
