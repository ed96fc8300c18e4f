"""The Kafka layer: client configuration, the clients themselves, and what their errors mean."""
