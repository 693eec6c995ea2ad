"""The model, its losses, and the trainer that runs on the token store."""
