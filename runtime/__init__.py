"""What both services stand on: settings, errors, Kafka client configuration, telemetry, lifecycle."""
