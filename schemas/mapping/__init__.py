"""The mapping tables: which payload becomes which event, and which field goes where."""
