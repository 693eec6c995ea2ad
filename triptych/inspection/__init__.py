"""What a documentation folder gives, before anything is set."""
