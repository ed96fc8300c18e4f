"""From a raw record to its event, dead letter or duplicate: pure, no Kafka, no clock, no files."""
