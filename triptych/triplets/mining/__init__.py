"""Hard negatives from a model's own neighbors."""
