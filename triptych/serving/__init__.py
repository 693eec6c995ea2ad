"""Search over a finished index: `Searcher`, and retrievers for other frameworks."""
