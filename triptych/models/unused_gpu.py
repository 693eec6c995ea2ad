"""A GPU that PyTorch's build cannot use, as after a plain ``pip install torch`` on Windows."""

import logging
import shutil
import subprocess
from functools import cache

import torch

log = logging.getLogger(__name__)


@cache
def warn_of_unused_gpu() -> None:
    """Log a warning, once, where the driver lists a GPU and PyTorch was built without CUDA and ROCm."""
    if torch.version.cuda is not None or torch.version.hip is not None:
        return
    if gpu := _first_gpu():
        log.warning(
            "PyTorch %s is built without CUDA, and does not use %s; computing on the CPU. How to install the build with"
            " CUDA: https://pytorch.org/get-started/locally, and in the guide, Install without make",
            torch.__version__,
            gpu,
        )


def _first_gpu() -> str | None:
    """Return the first GPU that NVIDIA's driver lists; None without the driver or a GPU."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return None
    try:
        listing = subprocess.run(
            [command, "-L"], capture_output=True, encoding="utf-8", errors="replace", timeout=10, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    line = next((line for line in listing.splitlines() if line.startswith("GPU ")), None)
    return line and line.partition(" (UUID")[0]
