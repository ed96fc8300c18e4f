"""Examines everything that the pipeline stands on, and says of each fault how to mend it."""
