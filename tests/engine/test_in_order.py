"""The door to parallel work: results in the order of the pieces, in one process and in several."""

import multiprocessing
import os
from functools import partial

import pytest

from triptych.engine.in_order import in_order, on_ray
from triptych.errors import UserError


def power_and_process(exponent, number):
    return number**exponent, os.getpid()


def test_results_come_in_the_order_of_the_pieces_as_they_are_asked_for():
    read = []

    def pieces():
        for number in range(5):
            read.append(number)
            yield number

    results = in_order(lambda number: number * 10, pieces())
    assert next(results) == 0
    assert read == [0]
    assert list(results) == [10, 20, 30, 40]


def test_several_processes_give_the_same_in_the_same_order(monkeypatch):
    monkeypatch.setattr(multiprocessing, "Pool", multiprocessing.get_context("spawn").Pool)
    results = list(in_order(partial(power_and_process, 2), range(20), processes=2))
    assert [number for number, _ in results] == [number**2 for number in range(20)]
    assert os.getpid() not in {process for _, process in results}


def test_engine_that_does_not_exist_is_named(monkeypatch):
    monkeypatch.setenv("TRIPTYCH_ENGINE", "spark")
    with pytest.raises(UserError, match=r"TRIPTYCH_ENGINE is 'spark'; expected ray, or leave it out"):
        on_ray()
