"""Easy, medium and hard negatives by rules, before any model is trained."""
