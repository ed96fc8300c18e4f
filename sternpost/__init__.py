"""The command line, and the local stack that `dev` and `demo` start."""
