"""The embedder: loading, adapters, precision, rounds, publishing."""
