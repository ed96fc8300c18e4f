"""The settings: their model, and how they are loaded."""
