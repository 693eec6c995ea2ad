"""`Searcher` over HTTP and as an MCP server: ``triptych serve``."""
