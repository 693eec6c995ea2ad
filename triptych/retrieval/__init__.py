"""Dense and lexical search, their fusion, reranking and late interaction. Knows no model."""
