"""Agreement where it is known on paper."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from envs.accuracy.agreement import agreement, apart
from envs.spec import CLASSES, COSINE
from tests.security.attacks import little_memory

NAN, INF = math.nan, math.inf


def numbers(*rows: Any) -> Any:
    return np.array(rows, np.float32)


def test_one_output_of_classes_is_the_share_of_equal_ones() -> None:
    first = numbers([1, 2, 3], [3, 2, 1], [0, 5, 0], [9, 8, 7])
    second = numbers([1, 2, 2.5], [1, 2, 3], [0, 5, 0], [9, 8, 7])
    found = agreement([first], [second], 4)
    assert (found.value, found.quantity, found.samples) == (0.75, CLASSES, 4)
    assert not found.synthetic


def test_noise_is_compared_by_its_shape_and_not_by_its_classes() -> None:
    """Two numbers that are level change their order by rounding; one for all classes is nothing."""
    first = numbers([10.0, 10.001, 0.0], [5.0, -5.0, 0.0])
    second = numbers([10.001, 10.0, 0.0], [7.0, -3.0, 2.0])
    assert agreement([first], [second], 2).value == 0.5
    found = agreement([first], [second], 2, synthetic=True)
    assert found.quantity == COSINE
    assert found.synthetic
    assert found.value == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("first", "second", "value"),
    [
        ([[3, 4]], [[3, 4]], 1),
        ([[3, 4]], [[6, 8]], 1),
        ([[3, 4]], [[4, -3]], 0),
        ([[3, 4]], [[-3, -4]], 0),
        ([[1, 0]], [[1, 1]], math.sqrt(0.5)),
        ([[1, 0], [1, 0]], [[1, 0], [1, 1]], (1 + math.sqrt(0.5)) / 2),
        ([[0, 0]], [[0, 0]], 1),
        ([[0, 0]], [[0, 1]], 0),
        ([[1, 0]], [[0, 0]], 0),
        ([[NAN, 1]], [[NAN, 1]], 1),
        ([[NAN, 1]], [[2, 1]], 0),
        ([[2, 1]], [[NAN, 1]], 0),
        ([[INF, 1]], [[INF, 1]], 1),
        ([[INF, 1]], [[-INF, 1]], 0),
        ([[2, 1]], [[INF, 1]], 0),
        ([[1e30, 1e30]], [[1e30, 1e30]], 1),
        ([[1e-30, 0]], [[1e-30, 1e-30]], math.sqrt(0.5)),
    ],
)
def test_cosine_similarity(first: Any, second: Any, value: float) -> None:
    """Two outputs, so that none is one of classes."""
    pair = [np.array(each, np.float32) for each in (first, second)]
    beside = np.ones((len(first), 2), np.float32)
    found = agreement([pair[0], beside], [pair[1], beside], len(first))
    assert found.quantity == COSINE
    assert found.value == pytest.approx(value, abs=1e-6)


def test_of_several_outputs_the_worst_counts() -> None:
    good, bad = numbers([1, 0]), numbers([1, 1])
    for outputs in ([good, bad, good], [bad, good, good]):
        assert agreement([good] * 3, outputs, 1).value == pytest.approx(math.sqrt(0.5))


@pytest.mark.parametrize(
    ("kind", "value"), [(np.int64, 0.75), (np.uint8, 0.75), (bool, 0.75), (np.int8, 0.75)]
)
def test_whole_numbers_and_truth_values_are_equal_or_not(kind: Any, value: float) -> None:
    first, second = np.array([1, 0, 1, 1]).astype(kind), np.array([1, 0, 1, 0]).astype(kind)
    assert agreement([first], [second], 4).value == value
    assert agreement([first[:, None]], [second[:, None]], 4).value == value


def test_one_number_a_sample_is_no_class() -> None:
    """The largest of one number is always the same: it would agree whatever it is."""
    first, second = numbers([1], [2], [-3]), numbers([1], [-2], [3])  # their product is -12
    for synthetic in (False, True):
        found = agreement([first], [second], 3, synthetic)
        assert found.quantity == COSINE
        assert found.value == 0
    assert agreement([first], [-2 * second], 3).value == pytest.approx(12 / 14)


def test_one_number_a_sample_that_never_moves_does_not_agree() -> None:
    """Signs alone make no agreement: a constant for numbers in [0, 1] is no answer."""
    first = np.linspace(0, 1, 64, dtype=np.float32)[:, None]
    assert agreement([first], [np.full_like(first, 0.5)], 64).value < 0.9
    assert agreement([first], [first + np.float32(1e-4)], 64).value > 0.999


def test_nan_is_no_class() -> None:
    first = numbers([1, 2], [2, 1])
    assert agreement([first], [numbers([NAN, 2], [2, 1])], 2).value == 0.5
    assert agreement([first], [numbers([NAN, NAN], [NAN, NAN])], 2).value == 0


def test_other_shapes_do_not_agree() -> None:
    first = np.ones((2, 3, 4), np.float32)
    found = agreement([first], [np.ones((2, 3, 5), np.float32)], 2)
    assert found.value == 0
    assert found.snr_db == -INF
    one, two = np.ones((2, 3), np.float32), np.ones((2, 4), np.float32)
    for synthetic in (False, True):
        assert agreement([one], [two], 2, synthetic).value < 1


def detector(scores: float) -> Any:
    """Return [2, 6, 50]: four channels of boxes up to 640 pixels, two of scores."""
    rng = np.random.default_rng(0)
    boxes = rng.uniform(0, 640, (2, 4, 50))
    return np.concatenate([boxes, scores * rng.random((2, 2, 50))], axis=1).astype(np.float32)


@pytest.mark.parametrize("turned", [False, True])
def test_scores_that_were_lost_are_not_hidden_by_boxes(turned: bool) -> None:
    first, lost = detector(1.0), detector(0.0)
    if turned:
        first, lost = first.transpose(0, 2, 1), lost.transpose(0, 2, 1)
    assert len(apart(first)) == 2
    assert agreement([first], [lost], 2).value == 0
    flat = [each.reshape(2, -1) for each in (first, lost)]
    both = agreement([flat[0], flat[0]], [flat[1], flat[0]], 2)
    assert both.value > 0.999  # which is what one number for all of it says
    assert agreement([first], [first], 2).value == 1


@pytest.mark.parametrize(
    "output",
    [
        np.zeros((2, 6, 50), np.float32),
        np.ones((2, 6, 50), np.float32),
        np.ones((2, 6), np.float32),
        np.ones((2, 6, 5, 5), np.float32),
        np.ones((2, 6, 50), np.int64),
        np.ones((0, 6, 50), np.float32),
        np.ones((2, 0, 50), np.float32),
        np.full((2, 6, 50), NAN, np.float32),
    ],
)
def test_other_outputs_are_one_part(output: Any) -> None:
    assert apart(output) == [(...,)]


def test_rare_classes_are_not_compared_on_their_own() -> None:
    """Of 30 classes of each place the samples have three; no answer depends on the others."""
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((4, 40, 30)) + np.where(np.arange(30) < 3, 12, 0)
    first = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    second = np.round(first * 255) / 255  # one step of eight bits is more than they have
    pair = first.astype(np.float32), second.astype(np.float32)
    assert apart(pair[0]) == [(...,)]
    assert agreement([pair[0]], [pair[1]], 4).value > 0.999


def test_large_outputs_are_compared_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    first = rng.standard_normal((7, 5, 6)).astype(np.float32)
    second = first + 0.1 * rng.standard_normal((7, 5, 6)).astype(np.float32)
    first[2, 1, 1] = np.nan
    whole = agreement([first], [second], 7)
    for block in (1, 30, 70, 1000):
        monkeypatch.setattr("envs.accuracy.agreement.BLOCK", block)
        pieces = agreement([first], [second], 7)
        assert pieces.value == pytest.approx(whole.value)
        assert pieces.snr_db == pytest.approx(whole.snr_db)


def test_many_answers_take_little_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envs.accuracy.agreement.BLOCK", 1 << 18)
    outputs = np.ones((64, 1 << 18), np.float32)  # 64 MiB
    with little_memory(50):
        assert agreement([outputs, outputs], [outputs, outputs], 64).value == 1


@pytest.mark.parametrize("noise", [1.0, 0.1, 0.01])
def test_signal_to_noise_ratio_is_in_decibels(noise: float) -> None:
    first = np.ones((4, 3, 2), np.float64)
    sign = np.where(np.arange(24).reshape(4, 3, 2) % 2, 1.0, -1.0)
    expected = -20 * math.log10(noise)
    assert agreement([first], [first + noise * sign], 4).snr_db == pytest.approx(expected)


def test_signal_to_noise_ratio_of_what_cannot_be_compared() -> None:
    first = numbers([1, 2])
    assert agreement([first], [first], 1).snr_db == INF
    assert agreement([first], [numbers([NAN, 2])], 1).snr_db == -INF
    assert agreement([numbers([0, 0])], [numbers([0, 1])], 1).snr_db == -INF
    worst = agreement([first, first], [first, numbers([1, 1])], 1).snr_db
    assert worst == pytest.approx(10 * math.log10(5))


@given(
    arrays(np.float32, (3, 4), elements=st.floats(-100, 100, width=32)),
    arrays(np.float32, (3, 4), elements=st.floats(width=32)),
)
def test_it_lies_between_0_and_1_whatever_the_numbers_are(first: Any, second: Any) -> None:
    for synthetic in (False, True):
        for outputs in ([first], [first, first], [first.reshape(3, 2, 2)]):
            answers = [second.reshape(each.shape) for each in outputs]
            assert 0 <= agreement(outputs, answers, 3, synthetic).value <= 1
            assert agreement(outputs, outputs, 3, synthetic).value == pytest.approx(1)
            assert agreement(answers, answers, 3, synthetic).value <= 1


@pytest.mark.parametrize("shape", [(40,), (40, 1), (40, 1, 1)])
def test_one_number_a_sample_is_compared_less_its_mean(shape: tuple[int, ...]) -> None:
    """Temperatures: the mean of all of them, for each, is no answer."""
    numbers = np.linspace(296, 304, 40, dtype=np.float32).reshape(shape)
    mean = np.full_like(numbers, 300)
    assert agreement([numbers], [mean], 40).value == 0.0
    assert agreement([numbers], [numbers + 8], 40).value < 0.5
    assert agreement([numbers], [numbers + 0.02], 40).value > 0.99
    assert agreement([numbers], [mean], 40, synthetic=True).value > 0.99


def test_probabilities_and_equal_numbers_have_no_mean_to_take_off() -> None:
    sure = np.linspace(0.996, 0.999, 40, dtype=np.float32)[:, None]
    assert agreement([sure], [np.ones_like(sure)], 40).value > 0.99
    level = np.full((40, 1), 7, np.float32)
    assert agreement([level], [level * np.float32(1.001)], 40).value > 0.99


def test_whole_numbers_are_called_what_they_are() -> None:
    classes = np.arange(10)
    assert agreement([classes], [classes], 10).describe() == "1 (equal numbers, 10 samples)"
    assert agreement([classes, classes / 3], [classes, classes / 3], 10).quantity == COSINE
