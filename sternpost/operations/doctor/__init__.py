"""Check everything that the pipeline depends on, and say how to fix each fault."""
