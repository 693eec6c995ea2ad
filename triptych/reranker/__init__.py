"""The cross-encoder: how it is loaded and saved, its pairs, training lists, losses and scores."""
