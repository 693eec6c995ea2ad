"""Libraries print nothing of their own when a stage or a command starts."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "code",
    [
        "from stages import train",
        "from stages import mine",
        "from triptych.cli import app; from triptych.models import adapter",
    ],
)
def test_imports_print_nothing(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
