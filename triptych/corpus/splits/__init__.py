"""Train, dev and test by whole documents."""
