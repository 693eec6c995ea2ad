"""What a run can be reproduced from: versions of libraries, and hashes as in ``dvc.lock``."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from triptych.artifacts import dvc_hash

_PACKAGES = (
    "triptych",
    "torch",
    "sentence-transformers",
    "transformers",
    "peft",
    "bitsandbytes",
    "faiss-cpu",
    "bm25s",
    "numpy",
    "pyarrow",
    "dvc",
)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the installed libraries that results depend on."""
    installed = {"Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            continue
    return installed


def hashes(*paths: Path) -> dict[str, str]:
    """Return the hash of each file or folder by its path; ``dvc.lock`` has the same."""
    return {path.as_posix(): dvc_hash(path) for path in paths}
