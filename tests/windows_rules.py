"""What Windows forbids, forbidden here too: modules of POSIX, and changes to files that are open or memory-mapped.

The rules bind our own code, at import and while it runs, in all tests but those marked ``posix``.
"""

import builtins
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
OURS = tuple(f"{ROOT / name}{os.sep}" for name in ("triptych", "stages", "tests"))
POSIX_MODULES = ("fcntl", "grp", "posix", "pty", "pwd", "resource", "termios", "tty")
PROC = Path("/proc/self")
_import = builtins.__import__
_in_force = True


def install() -> None:
    """Put the rules in force, for the rest of the process; `lifted` suspends them."""
    builtins.__import__ = _import_as_on_windows
    for module, name, paths in (
        (os, "rename", 2),
        (os, "replace", 2),
        (os, "remove", 1),
        (os, "unlink", 1),
        (shutil, "rmtree", 1),
    ):
        setattr(module, name, _refusing_files_in_use(getattr(module, name), paths))
    os.symlink = _refusing_links(os.symlink)


@contextmanager
def lifted() -> Iterator[None]:
    """Suspend the rules, for what is marked ``posix``."""
    global _in_force
    _in_force = False
    try:
        yield
    finally:
        _in_force = True


def used_files() -> set[str]:
    """Return the files that this process has mapped into memory or open."""
    mapped = {line.split(maxsplit=5)[5].strip() for line in (PROC / "maps").read_text().splitlines() if "/" in line}
    opened = set()
    for handle in (PROC / "fd").iterdir():
        try:
            opened.add(str(handle.readlink()))
        except OSError:
            continue  # the handle of this listing
    return mapped | opened


def _import_as_on_windows(name, globals=None, locals=None, fromlist=(), level=0):
    if _in_force and name in POSIX_MODULES and str((globals or {}).get("__file__", "")).startswith(OURS):
        raise ModuleNotFoundError(f"No module named {name!r} on Windows; mark the test as posix", name=name)
    return _import(name, globals, locals, fromlist, level)


def _refusing_files_in_use(function, paths: int):
    def call(*arguments, **keywords):
        if _in_force and PROC.exists() and _called_by_us():
            for path in arguments[:paths]:
                real = os.path.realpath(path)
                used = sorted(one for one in used_files() if one == real or one.startswith(f"{real}/"))
                if used:
                    raise PermissionError(f"[WinError 5] Access is denied: {path} ({used[0]} is open or mapped)")
        return function(*arguments, **keywords)

    return call


def _refusing_links(function):
    def call(*arguments, **keywords):
        if _in_force and _called_by_us():
            raise OSError("[WinError 1314] A required privilege is not held by the client; mark the test as posix")
        return function(*arguments, **keywords)

    return call


def _called_by_us() -> bool:
    """Return whether our code called the function, directly or through the standard library's ``pathlib``."""
    frame = sys._getframe(2)
    while frame and "pathlib" in frame.f_code.co_filename:
        frame = frame.f_back
    return frame is not None and frame.f_code.co_filename.startswith(OURS)
