"""The contract with Kafka, run on older brokers: `make kafka-versions`."""
