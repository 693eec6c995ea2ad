"""Only glibc is set to keep freed memory; on other systems nothing is opened and nothing fails."""

from types import SimpleNamespace

import pytest

from triptych.training.fast import malloc as allocator


def test_on_windows_the_c_library_is_not_opened(monkeypatch):
    def refuse(name):
        raise TypeError("argument must be str")

    monkeypatch.setattr(allocator.sys, "platform", "win32")
    monkeypatch.setattr(allocator.ctypes, "CDLL", refuse)
    allocator.keep_freed_memory()


@pytest.mark.parametrize("library", [SimpleNamespace(), SimpleNamespace(mallopt=lambda *_: 0)], ids=["musl", "refused"])
def test_a_library_that_cannot_keep_memory_is_not_an_error(monkeypatch, caplog, library):
    monkeypatch.setattr(allocator.sys, "platform", "linux")
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: library)
    with caplog.at_level("DEBUG"):
        allocator.keep_freed_memory()
    assert "there is no mallopt" in caplog.text
