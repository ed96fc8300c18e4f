"""The state of the pipeline, from the brokers and from the services that can be reached."""
