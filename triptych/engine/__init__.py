"""Where work in equal pieces runs: in this process or in several. It changes no result."""
