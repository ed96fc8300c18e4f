"""The command line: one file a command, arguments and output only."""
