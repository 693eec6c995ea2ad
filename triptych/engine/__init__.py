"""Where work in equal pieces runs: in this process, in several, or on a Ray cluster. It changes no result."""
