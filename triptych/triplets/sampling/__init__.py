"""Sample triplets and reranker lists from the candidate pools, keeping the tier mix."""
