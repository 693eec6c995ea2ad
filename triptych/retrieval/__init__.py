"""Dense and lexical search, their fusion, reranking and late interaction, on vectors and scores: without models."""
