"""Pin the older versions of Kafka that the contract runs on: `python -m tests.kafka_versions.pin VERSION…`."""

import sys
from pathlib import Path

from sternpost.local.pin import write

if __name__ == "__main__":
    for version in sys.argv[1:]:
        kafka = [
            f"org.apache.kafka:kafka_2.13:{version}",
            f"org.apache.kafka:kafka-clients:{version}",
            "org.slf4j:slf4j-simple:1.7.36",
        ]
        file = Path(__file__).with_name(f"{version}.txt")
        write(file, {"kafka": kafka}, f"Kafka {version}", "tests.kafka_versions.pin")
