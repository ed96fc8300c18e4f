"""What is fuzzed; `tests/fuzz/__init__.py` says what a target is made of."""
