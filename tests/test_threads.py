"""How threads share the cores with other programs: read by the libraries themselves."""

import os
import subprocess
import sys
from threading import Thread

import pytest
from threadpoolctl import ThreadpoolController

from triptych.threads import one_thread, wait_briefly


def numpy_threads():
    of_numpy = ThreadpoolController().select(threading_layer="pthreads")
    return {one["num_threads"] for one in of_numpy.info()}


@pytest.mark.skipif(sys.platform != "linux", reason="PyTorch has GNU's OpenMP on Linux only")
@pytest.mark.parametrize("package", ["stages", "triptych.cli"])
def test_stages_and_commands_let_pytorch_spin_a_moment_only(package):
    program = f"import os, sys; import {package}; assert 'torch' not in sys.modules; import torch"
    free = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_"))}
    shown = subprocess.run(
        [sys.executable, "-c", program],
        env=free | {"OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    assert "GOMP_SPINCOUNT = '3000'" in shown


@pytest.mark.parametrize(
    ("given", "expected"), [({"OMP_WAIT_POLICY": "active"}, None), ({"GOMP_SPINCOUNT": "7"}, "7"), ({}, "3000")]
)
def test_what_the_user_has_set_stays(monkeypatch, given, expected):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    wait_briefly()
    assert os.environ.get("GOMP_SPINCOUNT") == expected


def test_products_have_one_thread_inside_the_block_in_every_thread():
    seen = []
    with ThreadpoolController().limit(limits=3):
        assert numpy_threads() == {3}
        with one_thread():
            assert numpy_threads() == {1}
            thread = Thread(target=lambda: seen.append(inside()))
            thread.start()
            thread.join()
        assert seen == [{1}]
        assert numpy_threads() == {3}


def inside():
    with one_thread():
        return numpy_threads()
