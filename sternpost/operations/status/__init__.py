"""How the pipeline is doing, seen from the brokers, and from the services where they can be reached."""
