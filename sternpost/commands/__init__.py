"""One command a file: `sternpost foo` is `foo.py`'s `command`. Heavy imports are inside the functions."""
