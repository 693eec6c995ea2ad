"""Quantization to int8: the error is at most half a step, and steps are calibrated on the corpus."""

import numpy as np
import pytest

from triptych.errors import UserError
from triptych.retrieval.quantization import Scales


@pytest.fixture
def vectors():
    drawn = np.random.default_rng(3).standard_normal((500, 7)) * np.logspace(-3, 0, 7)
    return drawn.astype(np.float32)


def back(vectors, percentile=100.0):
    scales = Scales.calibrate(vectors, percentile)
    return scales, scales.vectors(scales.codes(vectors))


def test_no_number_moves_by_more_than_half_a_step(vectors):
    scales, found = back(vectors)
    assert found.dtype == np.float32
    assert np.all(np.abs(found - vectors) <= scales.step * 0.5001)
    assert np.allclose(scales.step, np.abs(vectors).max(axis=0) / 127)


def test_the_nearest_code_is_taken_not_the_one_below():
    scales = Scales(np.array([1.0], np.float32))
    assert scales.codes(np.array([[1.6], [-1.6], [1.4], [-1.4], [0.0]], np.float32)).ravel().tolist() == [
        2,
        -2,
        1,
        -1,
        0,
    ]


def test_one_vector_comes_back_as_it_was():
    one = np.array([[0.5, -0.25, 0.0, 1e-6]], np.float32)
    assert np.allclose(back(one, 99.9)[1], one, rtol=1e-6)


def test_a_constant_dimension_keeps_its_value_and_a_dimension_of_zeros_stays_zero(vectors):
    vectors[:, 2], vectors[:, 4] = 0.37, 0.0
    found = back(vectors)[1]
    assert np.allclose(found[:, 2], 0.37, rtol=1e-6)
    assert not found[:, 4].any()


def test_a_dimension_that_is_negative_throughout_keeps_sign_and_size(vectors):
    vectors[:, 1] = -1 - np.abs(vectors[:, 1])
    scales, found = back(vectors)
    assert (found[:, 1] < 0).all()
    assert np.abs(found[:, 1] - vectors[:, 1]).max() <= scales.step[1] * 0.5001


def test_values_above_the_percentile_are_clipped_and_the_rest_has_finer_steps(vectors):
    vectors[0, 3] = 1000.0
    scales, found = back(vectors, 99.5)
    assert found[0, 3] == pytest.approx(scales.step[3] * 127)
    assert scales.step[3] < 0.01
    assert scales.codes(vectors)[0, 3] == 127
    assert scales.codes(-vectors)[0, 3] == -127  # not -128, which has no counterpart


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_one_message(vectors, value):
    vectors[[8, 11], 1] = value
    with pytest.raises(UserError, match="2 of 500 vectors are not finite, the first in row 8"):
        Scales.calibrate(vectors, 99.0)
