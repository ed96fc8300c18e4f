"""The contracts: what comes in, what goes out, and how both are written down."""
