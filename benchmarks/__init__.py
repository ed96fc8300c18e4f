"""Benchmarks of Sternpost, alone and beside other programs: `python -m benchmarks`."""
