"""Resolve what the sinks need from Maven Central and write `artifacts.txt`: `python -m tests.sinks.pin`."""

from pathlib import Path

from sternpost.local.pin import write

CONNECT = "4.3.1"
COMPONENTS = {
    "connect": (
        f"org.apache.kafka:connect-runtime:{CONNECT}",
        f"org.apache.kafka:connect-transforms:{CONNECT}",
        "org.slf4j:slf4j-simple:1.7.36",
    ),
    "file": (f"org.apache.kafka:connect-file:{CONNECT}",),
    # Later versions name a parent that is not on Maven Central.
    "converter": ("io.apicurio:apicurio-registry-utils-converter:2.6.13.Final",),
    # It names a range of versions, which is not resolved.
    "to-json": (
        "com.github.jcustenborder.kafka.connect:kafka-connect-transform-common:0.1.0.14::jar",
        "com.github.jcustenborder.kafka.connect:connect-utils:0.7.177::jar",
        "com.google.guava:guava:33.8.0-jre::jar",
    ),
    "iceberg": (
        "org.apache.iceberg:iceberg-kafka-connect:1.12.0",
        "org.apache.iceberg:iceberg-parquet:1.12.0",
        # What these need is within them; what they list would make Avro and others older than Iceberg needs.
        "org.apache.hadoop:hadoop-client-api:3.4.2::jar",
        "org.apache.hadoop:hadoop-client-runtime:3.4.2::jar",
        "commons-logging:commons-logging:1.3.0::jar",
    ),
    "jdbc": ("io.debezium:debezium-connector-jdbc:3.6.0.Final:plugin:tar.gz",),
    "flink": (
        "org.apache.flink:flink-sql-avro-confluent-registry:2.3.0",
        "org.apache.flink:flink-sql-connector-kafka:5.0.0-2.2",
        "org.apache.flink:flink-sql-gateway:2.3.0::jar",
    ),
}

if __name__ == "__main__":
    write(Path(__file__).with_name("artifacts.txt"), COMPONENTS, "What the sinks need of Java", "tests.sinks.pin")
