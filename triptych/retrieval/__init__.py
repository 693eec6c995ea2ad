"""Dense and lexical search, their fusion, and hard-negative mining."""
