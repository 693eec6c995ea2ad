"""A project of a user's own, beside the installed package: its files, and which code its stages depend on."""
