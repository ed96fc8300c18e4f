"""The consumer group: raw bodies in, track events and dead letters out, one transaction a batch."""
