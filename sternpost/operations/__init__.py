"""What operators do with a pipeline: what a command does, without its arguments and its output."""
