"""The published embedder in formats that run without PyTorch, each compared with it before it is kept."""
