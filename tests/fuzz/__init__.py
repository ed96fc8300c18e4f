"""Coverage-guided fuzzing of everything that reads bytes from outside: `make fuzz`.

Each module in `targets/` reads one kind of input. It has

- `check(data)`, which passes any bytes to the code and compares what it makes of them with an oracle that is not ours,
  or with a property that must hold; it raises AssertionError, or what the code should not have raised;
- `SEEDS`, inputs to start with, and optionally `WORDS`, which the fuzzer puts into them.

`engine.py` runs a target in atheris, `__main__.py` one target after another. `tests/unit/test_fuzz_targets.py` checks
without atheris that every target accepts its seeds and what fuzzing found, and that it notices a fault.
"""
