"""Hard negatives mined from a model's nearest neighbors."""
