"""Faults put into copies of the product, and whether the judge of the fault tests finds each: `make mutations`."""
