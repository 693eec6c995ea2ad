"""Draw triplets and lists from the pools, keeping the mix."""
