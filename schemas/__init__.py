"""The contracts: the payloads that come in, the events that go out, and the mapping between them."""
