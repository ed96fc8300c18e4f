"""Kafka and a schema registry on this machine, without Docker or a system Java: for `dev`, `demo` and the tests."""

from sternpost.local.stack import LocalStack

__all__ = ["LocalStack"]
