"""Tables and dialogs for the terminal."""
