"""Views, tiers of negatives, and the mix: from a corpus to training examples."""
