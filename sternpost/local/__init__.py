"""Kafka and a schema registry on this machine for `dev`, `demo` and tests. Needs neither Docker nor Java."""

from sternpost.local.stack import LocalStack

__all__ = ["LocalStack"]
