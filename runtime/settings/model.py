"""Every setting, with its default, its unit and its meaning: one class a section, one field a setting.

Sources, strongest first: command-line options, environment variables (`STERNPOST_KAFKA__BOOTSTRAP_SERVERS`),
then `sternpost.toml` (`[kafka]` / `bootstrap_servers`). The reference in docs/settings.md is generated from this file.
"""

import re
import socket
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    SettingsConfigDict,
)

from runtime.settings import keys

PREFIX = "STERNPOST_"
DEFAULT_FILE = "sternpost.toml"

Port = Annotated[int, Field(ge=0, le=65535)]
Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[int, Field(ge=0)]
TopicConfig = Literal[
    "cleanup.policy",
    "compression.type",
    "max.message.bytes",
    "message.timestamp.type",
    "min.insync.replicas",
    "retention.ms",
    "unclean.leader.election.enable",
]
"""The settings that topics are created with (`runtime.kafka.config.topic_configs`)."""
TopicName = Annotated[str, Field(min_length=1, max_length=249, pattern=r"^[a-zA-Z0-9._-]+$")]


def _scalar(value: object) -> object:
    """Refuse JSON's and TOML's lists, tables and null, which are not values of a property."""
    if isinstance(value, str | bool | int | float):
        return value
    raise PydanticCustomError("property", "must be text, a number, true or false")


def _text(value: object) -> object:
    """Return a property as text, as librdkafka takes it."""
    return str(value).lower() if isinstance(value, bool) else str(_scalar(value))


KafkaProperties = dict[str, Annotated[str, BeforeValidator(_text)]]
RegistryProperties = dict[str, Annotated[Any, BeforeValidator(_scalar)]]


class Section(BaseModel):
    """A table of settings: unknown names are refused, since a misspelt setting that is ignored is worse."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class KafkaSettings(Section):
    """The cluster, and how every client connects to it."""

    bootstrap_servers: str = Field("127.0.0.1:9092", min_length=1, examples=["broker-1:9092,broker-2:9092"])
    """Brokers to find the cluster by, `host:port` separated by commas."""

    properties: KafkaProperties = Field(
        default_factory=dict,
        repr=False,
        examples=['{"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512"}'],
    )
    """librdkafka's properties for every client (TLS, SASL, timeouts), those for producers or consumers for these only.
    JSON in the environment, merged property by property with those of the file."""

    msk_iam_region: str | None = Field(None, pattern=r"^[a-z]{2}(-[a-z]+)+-\d+$", examples=["eu-central-1"])
    """AWS region of an Amazon MSK cluster with IAM access control. Every client then signs in with tokens made from
    this machine's AWS credentials, over TLS unless `security.protocol` says otherwise. Takes the extra `msk`."""

    @model_validator(mode="after")
    def _one_way_to_sign_in(self) -> Self:
        if self.msk_iam_region is not None:
            for name, value in self.properties.items():
                if name.startswith("sasl.") and (name, value) not in (
                    ("sasl.mechanism", "OAUTHBEARER"),
                    ("sasl.mechanisms", "OAUTHBEARER"),
                ):
                    raise ValueError(
                        f"kafka.properties: {name} cannot be set with kafka.msk_iam_region, which signs in by IAM; "
                        "take one of the two out"
                    )
        return self

    @field_validator("bootstrap_servers")
    @classmethod
    def _servers(cls, value: str) -> str:
        servers = [server.strip() for server in value.split(",") if server.strip()]
        if not servers:
            raise ValueError("kafka.bootstrap_servers names no broker; write host:port")
        for server in servers:
            if "@" in server:
                raise ValueError(
                    "kafka.bootstrap_servers holds an `@`: write host:port, and credentials as sasl.username and "
                    "sasl.password in kafka.properties"
                )
            address = re.fullmatch(r"(?:\w+://)?(?:\[[\da-fA-F:.%]+\]|[^\s/:\[\]]+)(?::(\d{1,5}))?", server)
            if address is None or not 0 < int(address[1] or 9092) < 65_536:
                raise ValueError(f"kafka.bootstrap_servers: {server!r} is not an address; write host:port")
        return ",".join(servers)


class SubjectName(StrEnum):
    """How the subject of the events' schema is named."""

    TOPIC = "topic"
    TOPIC_RECORD = "topic_record"


class SchemaRegistrySettings(Section):
    """The schema registry, and how to connect to it."""

    url: str = Field(
        "http://127.0.0.1:8085/apis/ccompat/v7", min_length=1, repr=False, examples=["https://registry.example.com"]
    )
    """A Confluent-compatible schema registry; several addresses are separated by commas."""

    basic_auth: SecretStr | None = Field(None, examples=["user:password"])
    """`user:password` for the registry, rather than those in its address."""

    ca_file: Path | None = Field(None, examples=["/etc/ssl/registry-ca.pem"])
    """Certificate authority for the registry's TLS, if the system does not trust it already."""

    timeout_ms: Positive = 5_000
    """How long one request to the registry may take."""

    subject_name: SubjectName = SubjectName.TOPIC
    """Name of the subject: `topic` is `<topic>-value` (Confluent's TopicNameStrategy); `topic_record` is
    `<topic>-sternpost.events.TrackEvent` (TopicRecordNameStrategy). Sinks that look the subject up must agree."""

    context: str | None = Field(None, pattern=r"^\.[A-Za-z0-9._-]+$", examples=[".staging"])
    """Context that the subject is in, for registries that have contexts; its name begins with a dot."""

    auto_register: bool = False
    """Have the processor register the schema it was built with at start, instead of only looking it up."""

    properties: RegistryProperties = Field(
        default_factory=dict, repr=False, examples=['{"ssl.certificate.location": "/etc/ssl/client.pem"}']
    )
    """Passed to the registry's client (confluent-kafka's SchemaRegistryClient) as they are: client certificates, bearer
    tokens, a proxy, retries. JSON in the environment, merged property by property with those of the file."""

    @field_validator("url")
    @classmethod
    def _urls(cls, value: str) -> str:
        urls = [url.strip() for url in value.split(",") if url.strip()]
        if not urls:
            raise ValueError("schema_registry.url is empty; write https://host:port")
        for url in urls:
            try:
                parts = urlsplit(url)
                usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
            except ValueError:
                usable = False
            if not usable or re.search(r"\s", url):
                raise ValueError(
                    "schema_registry.url must be made of addresses like https://host:port, separated by commas"
                )
            if parts.query or parts.fragment:
                raise ValueError("schema_registry.url must not have a `?` or a `#`")
            if parts.username is not None and not parts.password:
                raise ValueError("schema_registry.url has a user without a password; write https://user:password@host")
        return ",".join(url.rstrip("/") for url in urls)

    @field_validator("basic_auth")
    @classmethod
    def _user_and_password(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(r"[^:]+:.+", value.get_secret_value(), re.DOTALL):
            raise ValueError("schema_registry.basic_auth must be user:password, and lacks one of them or the colon")
        return value

    @field_validator("ca_file")
    @classmethod
    def _named(cls, value: Path | None) -> Path | None:
        return None if value == Path() else value

    @model_validator(mode="after")
    def _set_once(self) -> Self:
        own = {"url": "schema_registry.url", "timeout": "schema_registry.timeout_ms"}
        if self.basic_auth is not None:
            own["basic.auth.user.info"] = "schema_registry.basic_auth"
        if self.ca_file is not None:
            own["ssl.ca.location"] = "schema_registry.ca_file"
        for name in own.keys() & self.properties.keys():
            raise ValueError(f"schema_registry.properties: {name} cannot be set there; set {own[name]} instead")
        return self

    def client_properties(self) -> dict[str, Any]:
        """Return the configuration of a `SchemaRegistryClient`."""
        config: dict[str, Any] = {"url": self.url, "timeout": self.timeout_ms / 1_000, "max.retries": 0}
        if self.basic_auth is not None:
            config["basic.auth.user.info"] = self.basic_auth.get_secret_value()
        if self.ca_file is not None:
            config["ssl.ca.location"] = str(self.ca_file)
        config |= self.properties
        if "basic.auth.user.info" in config:  # beside credentials in the address, the client takes none
            config["url"] = re.sub(r"(?<=://)[^/,]*@", "", self.url)
        return config


class TopicSettings(Section):
    """The three topics, and how they are created."""

    raw: TopicName = "customerio.raw"
    """The webhook bodies, byte for byte."""

    events: TopicName = "rudderstack.events"
    """The track events, in Avro."""

    dead_letters: TopicName = "customerio.dead-letters"
    """The bodies that could not become an event, byte for byte, with the reason in their headers."""

    partitions: Positive = 8
    """Partitions of each topic that `sternpost topics create` makes: the most processors that can share the work."""

    replication_factor: Annotated[int, Field(ge=-1)] = 3
    """Copies of each partition, for `sternpost topics create`. Lower it to 1 only for a cluster of one broker; -1 takes
    the cluster's own number."""

    min_insync_replicas: Positive = 2
    """Copies that must have a record before it counts as written."""

    raw_retention_ms: int = 30 * 24 * 3_600_000
    """How long raw bodies are kept, and so how far back a replay reaches. -1 keeps them for ever."""

    events_retention_ms: int = 7 * 24 * 3_600_000
    """How long events are kept for sinks to read, counted from when they were written."""

    dead_letters_retention_ms: int = 90 * 24 * 3_600_000
    """How long dead letters are kept for someone to look at and send back."""

    omit_configs: list[TopicConfig] = Field(default_factory=list, examples=['["unclean.leader.election.enable"]'])
    """Settings of the topics that are left to the cluster, for one that forbids to set them. `sternpost topics check`
    warns if the cluster's own value does not do. JSON in the environment."""

    @property
    def wanted_replicas(self) -> int:
        """Copies that a partition must at least have."""
        return self.replication_factor if self.replication_factor > 0 else self.min_insync_replicas

    @model_validator(mode="after")
    def _replicas(self) -> Self:
        if self.replication_factor == 0:
            raise ValueError("topics.replication_factor is a number of copies, or -1 for the cluster's own; not 0")
        if self.min_insync_replicas > self.replication_factor > 0:
            raise ValueError(
                f"topics.min_insync_replicas ({self.min_insync_replicas}) is above topics.replication_factor "
                f"({self.replication_factor}): no write could succeed; lower the one or raise the other"
            )
        if len({self.raw, self.events, self.dead_letters}) < 3:
            raise ValueError("topics.raw, topics.events and topics.dead_letters must be three different topics")
        return self


class SourceSettings(Section):
    """One sender of webhooks: a Customer.io workspace."""

    name: str = Field(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9._-]+$", examples=["production"])
    """Recorded with each body; never a secret."""

    write_keys: list[SecretStr] = Field(min_length=1, examples=[["a-long-random-text"]])
    """Each is accepted, so that keys can be rotated."""

    signing_keys: list[SecretStr] = Field(default_factory=list, examples=[["the webhook's signing key"]])
    """Any of them may have signed; with none, requests of this source need no signature."""

    @field_validator("write_keys", "signing_keys")
    @classmethod
    def _known_to_nobody_else(cls, value: list[SecretStr], info: ValidationInfo) -> list[SecretStr]:
        if not all(keys.comparable(key.get_secret_value()) for key in value):
            raise ValueError(
                f"sources: one of {info.field_name} is blank, and so known to everybody; put a key there, or remove it"
            )
        return value


class IngestSettings(Section):
    """The ingest service."""

    host: str = "0.0.0.0"  # noqa: S104 (the endpoint exists to be reached)
    """Address that the webhook endpoint listens on."""

    port: Port = 8080
    """Port of the webhook endpoint; 0 takes a free one."""

    admin_host: str = "127.0.0.1"
    """Address of the admin listener (`/healthz`, `/readyz`, `/metrics`); keep it off the internet."""

    admin_port: Port = 8081
    """Port of the admin listener; 0 takes a free one."""

    workers: Positive = 1
    """Processes that share the port."""

    max_body_bytes: Positive = 1_048_576
    """Largest body accepted, after decompression; topics and producers are sized from it."""

    produce_deadline_ms: Annotated[int, Field(gt=0, le=3_800)] = 3_000
    """Longest time from a request's headers to Kafka's acknowledgement before the answer is 503. Customer.io gives up
    after 4 s."""

    signature_tolerance_s: NotNegative = 86_400
    """How far `X-CIO-Timestamp` may be off our clock, either way. Generous, since a 401 stops Customer.io's
    feed for an hour; a request sent again within the deduplication window does no harm. 0 checks no time."""

    max_in_flight_requests: Positive = 10_000
    """Requests that may wait for an acknowledgement, in each worker, before more are refused with 503."""

    max_in_flight_bytes: Positive = 134_217_728
    """Bytes of bodies that may wait for an acknowledgement, in each worker, before more are refused with 503; as many
    again may be on their way in."""

    max_connections: Positive = 16_384
    """Open connections, in each worker; fewer if the limit of open files (`ulimit -n`) allows no more."""

    retry_after_s: Positive = 5
    """What `Retry-After` says on a 503."""

    header_timeout_ms: Positive = 75_000
    """Longest time a connection may take to send the next request's headers, so also how long one that is kept may be
    idle: longer than load balancers and clients keep theirs, since to close one that is about to be used resets it."""

    body_timeout_ms: Positive = 10_000
    """Longest time a client may take to send its request's body."""

    drain_delay_ms: NotNegative = 2_000
    """After SIGTERM: time between `not ready` and the end of accepting, for load balancers to notice."""

    drain_timeout_ms: Positive = 10_000
    """After that: longest wait for accepted requests to get their answers."""

    tls_certificate: Path | None = Field(None, examples=["/etc/sternpost/tls.crt"])
    """Certificate chain (PEM, X.509 version 3); with it and `tls_key` the endpoint speaks HTTPS."""

    tls_key: Path | None = Field(None, examples=["/etc/sternpost/tls.key"])
    """Private key (PEM) of `tls_certificate`: RSA of 2048, 3072 or 4096 bits, ECDSA on P-256 or P-384, or Ed25519."""

    kafka_properties: KafkaProperties = Field(default_factory=dict, repr=False, examples=['{"linger.ms": "5"}'])
    """Laid over `kafka.properties` for the ingest service alone."""

    @model_validator(mode="after")
    def _tls_pair(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("ingest.tls_certificate and ingest.tls_key go together: set both or neither")
        return self

    @model_validator(mode="after")
    def _a_body_fits(self) -> Self:
        if self.max_in_flight_bytes < self.max_body_bytes:
            raise ValueError(
                f"ingest.max_in_flight_bytes ({self.max_in_flight_bytes}) is below ingest.max_body_bytes "
                f"({self.max_body_bytes}): a body in between could never be taken"
            )
        return self


class Profile(StrEnum):
    """How payloads are mapped; docs/mapping.md shows both."""

    RUDDERSTACK = "rudderstack"
    CORRECTED = "corrected"


class GroupProtocol(StrEnum):
    """How the members of a consumer group come by their partitions."""

    CLASSIC = "classic"
    CONSUMER = "consumer"


class ProcessorSettings(Section):
    """The processor."""

    group_id: str = Field("sternpost", min_length=1)
    """Consumer group; also the prefix of each member's transactional id."""

    instance_id: str = Field(
        default_factory=socket.gethostname, min_length=1, max_length=200, pattern=r"^[A-Za-z0-9._-]+$"
    )
    """Names this machine's members of the group: stable over restarts, different on every machine."""

    group_protocol: GroupProtocol = GroupProtocol.CLASSIC
    """How members come by their partitions: `classic` works with all brokers; `consumer` (KIP-848) takes Kafka 4.0 or
    later, and leaves heartbeats and session time-out to the brokers. docs/reliability.md compares the two."""

    workers: Positive = 1
    """Member processes on this machine."""

    profile: Profile = Profile.RUDDERSTACK
    """`rudderstack` maps as RudderStack documents it; `corrected` differs where that misleads."""

    dedup_window_s: Annotated[int, Field(ge=0, le=30 * 86_400)] = 86_400
    """A second event with the same source and event id within this time is a duplicate. Customer.io retries for up
    to 7 days (604800). 0 turns deduplication off."""

    state_dir: Path = Path("state")
    """Folder for the deduplication cache; if it is lost, it is rebuilt from the raw topic."""

    state_memory_bytes: Positive = 134_217_728
    """Memory for the deduplication cache, in each worker."""

    admin_host: str = "127.0.0.1"
    """Address of the admin listener (`/healthz`, `/readyz`, `/metrics`)."""

    admin_port: Port = 8082
    """Port of the admin listener; 0 takes a free one."""

    batch_max_records: Positive = 30_000
    """Most raw records in one transaction. Fewer have a backlog wait for more commits, and take less memory."""

    batch_max_bytes: Positive = 16_777_216
    """Most bytes of raw records in one transaction; a single larger record still goes, alone."""

    transaction_timeout_ms: Positive = 20_000
    """Kafka aborts a transaction open for longer."""

    session_timeout_ms: Positive = 45_000
    """A member silent for this long loses its partitions. With the group protocol `consumer` the brokers decide it."""

    max_poll_interval_ms: Positive = 300_000
    """A member that asks for no records for this long loses its partitions."""

    dead_letter_limit_ratio: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Stop if more than this share of the records in the window became dead letters by a fault of Sternpost's own:
    `internal_error` or `unencodable`, of records that are no redriven dead letters. 1 never stops. What senders cause
    never counts."""

    dead_letter_limit_window: Positive = 1_000
    """Records that the share is measured over: the last that became an event or failed by a fault of Sternpost's own.
    Fewer than this never stop the processor."""

    shutdown_timeout_ms: Positive = 15_000
    """Longest wait for the batch in hand on SIGTERM, before the worker is ended (nothing is lost by it)."""

    kafka_properties: KafkaProperties = Field(
        default_factory=dict, repr=False, examples=['{"compression.type": "zstd"}']
    )
    """Laid over `kafka.properties` for the processor alone."""

    @model_validator(mode="after")
    def _timeouts(self) -> Self:
        if self.group_protocol is GroupProtocol.CONSUMER:
            default = type(self).model_fields["session_timeout_ms"].default
            if self.session_timeout_ms != default:
                raise ValueError(
                    "processor.session_timeout_ms has no effect with processor.group_protocol consumer: the brokers "
                    "decide it. Take it out, and set consumer.session.timeout.ms of the group, or "
                    "group.consumer.session.timeout.ms on the brokers"
                )
            return self  # `sternpost doctor` compares the brokers' value
        if self.transaction_timeout_ms >= self.session_timeout_ms:
            raise ValueError(
                f"processor.transaction_timeout_ms ({self.transaction_timeout_ms}) must be below "
                f"processor.session_timeout_ms ({self.session_timeout_ms}): a member that Kafka has given up must "
                "not still hold an open transaction"
            )
        if self.max_poll_interval_ms < self.session_timeout_ms:
            raise ValueError("processor.max_poll_interval_ms must be at least processor.session_timeout_ms")
        return self


class ConsoleSettings(Section):
    """The web page for operators."""

    host: str = "127.0.0.1"
    """Address that the console listens on. Beyond this machine it needs `tls_certificate`."""

    port: Port = 8083
    """Port of the console; 0 takes a free one."""

    allowed_hosts: list[str] = Field(default_factory=list, examples=['["ops.example.com"]'])
    """Names that people open the console by, without a port, besides its address. JSON in the environment."""

    tls_certificate: Path | None = Field(None, examples=["/etc/sternpost/console.crt"])
    """Certificate chain (PEM); with it and `tls_key` the console speaks HTTPS."""

    tls_key: Path | None = Field(None, examples=["/etc/sternpost/console.key"])
    """Private key (PEM) of `tls_certificate`."""

    metrics: list[str] = Field(
        default_factory=list, examples=['["http://ingest-1:8081/metrics", "http://processor-1:8082/metrics"]']
    )
    """Addresses of the services' metrics, for rates and latencies. Without any, those of the services on this machine
    (`admin_host` and `admin_port` of both). JSON in the environment."""

    @model_validator(mode="after")
    def _tls_pair(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("console.tls_certificate and console.tls_key go together: set both or neither")
        return self

    @field_validator("metrics")
    @classmethod
    def _addresses(cls, value: list[str]) -> list[str]:
        for address in value:
            try:
                parts = urlsplit(address)
                usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
            except ValueError:
                usable = False
            if not usable:
                raise ValueError("console.metrics must list addresses like http://ingest-1:8081/metrics")
        return value


class LogFormat(StrEnum):
    """The form of log lines."""

    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    """The severity of log lines."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogSettings(Section):
    """The log."""

    level: LogLevel = LogLevel.INFO
    """Least severe level that is logged."""

    format: LogFormat = LogFormat.AUTO
    """`console` for people, `json` for machines; `auto` is console on a terminal, JSON elsewhere."""


class Settings(BaseSettings):
    """All settings of all commands. Use `load()`, which turns a bad value into a message for people."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
    )

    kafka: KafkaSettings = KafkaSettings()
    schema_registry: SchemaRegistrySettings = SchemaRegistrySettings()
    topics: TopicSettings = TopicSettings()
    sources: list[SourceSettings] = Field(
        default_factory=list,
        examples=['[{"name": "production", "write_keys": ["…"], "signing_keys": ["…"]}]'],
    )
    """Who may send. JSON in the environment, `[[sources]]` tables in the file."""
    ingest: IngestSettings = IngestSettings()
    processor: ProcessorSettings = Field(default_factory=ProcessorSettings)
    console: ConsoleSettings = ConsoleSettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _window_is_kept(self) -> Self:
        kept_ms, window_s = self.topics.raw_retention_ms, self.processor.dedup_window_s
        if 0 <= kept_ms < 1000 * window_s:
            raise ValueError(
                f"topics.raw_retention_ms ({kept_ms}) must be -1 or at least processor.dedup_window_s ({window_s} s): "
                "a deduplication state that was lost, or goes to another machine, is rebuilt from the raw topic"
            )
        return self

    @model_validator(mode="after")
    def _sources_differ(self) -> Self:
        names = [source.name for source in self.sources]
        write_keys = [keys.comparable(key.get_secret_value()) for source in self.sources for key in source.write_keys]
        if len(set(names)) < len(names):
            raise ValueError("sources: two of them have the same name; the name tells their events apart")
        if len(set(write_keys)) < len(write_keys):
            raise ValueError(
                "sources: one write key is listed twice (`+` and a blank count as equal); a key must lead to one source"
            )
        return self
