"""``python -m triptych.cli``."""

from triptych.cli import app

if __name__ == "__main__":
    app()
