"""The cross-encoder: pairs, lists, scores."""
