"""Map a range of the raw topic again, to compare the result with existing events or to write the events again."""
