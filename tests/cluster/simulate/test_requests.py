from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import simpy

from cluster.simulate.requests import Arrivals, batched, first_come, poisson_arrivals, shared


def test_requests_that_come_together_share_the_gpu() -> None:
    # Three at once: the shortest ends after three times its size, as under time slicing.
    done = shared(np.zeros(3), np.array([1.0, 2.0, 4.0]))
    assert done == pytest.approx([3.0, 5.0, 7.0])


def test_a_request_alone_takes_its_size_before_and_after_another() -> None:
    done = shared(np.array([0.0, 1.0, 5.0]), np.array([2.0, 2.0, 1.0]))
    assert done == pytest.approx([3.0, 4.0, 6.0])


def test_as_many_requests_as_cores_do_not_slow_each_other() -> None:
    done = shared(np.zeros(3), np.array([1.0, 2.0, 2.0]), servers=2)
    # Three on two cores get 2/3 each until 1.5 s; then two with 1 s left each have one each.
    assert done == pytest.approx([1.5, 2.5, 2.5])


def test_swaps_are_paid_after_another_network() -> None:
    arrivals = Arrivals(np.array([0.0, 0.0, 0.0, 10.0]), np.array([0, 1, 1, 1]))
    done = first_come(arrivals, np.array([1.0, 2.0, 2.0, 2.0]), np.array([0.5, 0.25]))
    assert done == pytest.approx([1.5, 3.75, 5.75, 12.0])


def test_a_batch_is_closed_when_full_or_when_its_wait_is_over() -> None:
    done = batched(np.array([0.0, 0.1, 0.2, 5.0]), np.array([1.0, 1.5]), 0.5)
    # Two at 0.1 s until 1.6 s; the third waits until 0.7 s for a second one, then for the others.
    assert done == pytest.approx([1.6, 1.6, 2.6, 6.5])


def test_requests_agree_with_an_event_simulation_of_another_package() -> None:
    arrivals = poisson_arrivals(np.array([20.0, 8.0]), 30.0, np.random.default_rng(3))
    sizes = np.array([0.01, 0.06])[arrivals.classes]
    world = simpy.Environment()
    place, found = simpy.Resource(world, 1), np.zeros(len(sizes))

    def request(number: int) -> Iterator[Any]:
        yield world.timeout(arrivals.times_s[number])
        with place.request() as turn:
            yield turn
            yield world.timeout(sizes[number])
        found[number] = world.now

    for number in range(len(sizes)):
        world.process(request(number))
    world.run()
    assert first_come(arrivals, sizes) == pytest.approx(found)
