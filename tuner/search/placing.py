"""Schemes that place several networks on a device, as searches to compare with.

Each scheme makes some configurations; the model says which of them are tried first, so that all
that sets them apart from the model's own best is how they place instances.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod

import numpy as np

from envs.arrays import BoolArray, FloatArray, IntArray, Placements, Rows
from envs.belief.local_search import valid
from envs.belief.score import score_and_violation
from envs.simulator.device_model import DeviceModel
from envs.spec import Objective
from tuner.search.model_search import BEST, ModelArgmax, model_of, preference

#: At most so many ways to share out the accelerators are looked at.
PARTITIONS = 4096


class PlacingSearch(ModelArgmax):
    """Tries the default, then the configurations of a scheme, the model's favourites first.

    Raises:
        OptionError: the problem comes without a model.
    """

    def _best(self) -> Placements:
        return self.problem.once(type(self).__name__, self._ordered)

    def _ordered(self) -> Placements:
        model, objective = model_of(self.problem), self.problem.objective
        sizes = batch_sizes(model, objective)
        placements = valid(model.space, self._placements(model, sizes))
        if not len(placements):
            return placements
        logs = model.logarithms(model.nominal(), placements)[0]
        worth = preference(*score_and_violation(model, logs, objective))
        ordered: Placements = placements[np.argsort(-worth, kind="stable")[:BEST]]
        return ordered

    @abstractmethod
    def _placements(self, model: DeviceModel, sizes: IntArray) -> Placements:
        """Return the configurations of the scheme, [N, T, A, 2], some of which may be invalid.

        Args:
            model: of the device.
            sizes: [Z, T, A] batch sizes, see `batch_sizes`.
        """


class StaticPartition(PlacingSearch):
    """Gives every tenant accelerators of its own.

    Where there are more tenants than accelerators, each has one, which some have to share.
    """

    def _placements(self, model: DeviceModel, sizes: IntArray) -> Placements:
        tenants, wholes = model.space.shape[0], whole_accelerators(model)
        shares = partitions(tenants, len(wholes))
        owned = np.zeros((len(shares), 1, 1, *model.space.shape), dtype=bool)  # [P, 1, 1, T, A]
        owned[:, 0, 0, :, wholes] = shares.transpose(2, 0, 1)
        count = np.arange(1, model.space.max_instances + 1).reshape(-1, 1, 1, 1)
        instances = np.where(owned, count, 0)
        batches = np.where(owned, sizes, 0)
        every = np.stack(np.broadcast_arrays(instances, batches), axis=-1)
        return every.reshape(-1, tenants, *every.shape[-2:]).astype(np.int16)


class RoundRobin(PlacingSearch):
    """Deals instances to the accelerators in turn, one of each tenant after the other."""

    def _placements(self, model: DeviceModel, sizes: IntArray) -> Placements:
        space = model.space
        tenants, usable, wholes = space.shape[0], usable_pairs(model), whole_accelerators(model)
        accelerators = len(wholes)
        found, instances, turn = [], np.zeros(space.shape, dtype=np.int64), 0
        for number in range(tenants * space.max_instances):
            tenant = number % tenants
            for _ in range(accelerators):
                accelerator, turn = wholes[turn % accelerators], turn + 1
                if usable[tenant, accelerator]:
                    instances[tenant, accelerator] += 1
                    break
            if tenant == tenants - 1 and tenants % accelerators == 0:
                turn += 1  # else every tenant would meet the same accelerator again
            if number >= tenants - 1:
                found.append(instances.copy())
        return with_sizes(np.array(found), sizes)


class GreedyUtilisation(PlacingSearch):
    """Places instance after instance where the busiest accelerator stays least busy.

    An instance keeps an accelerator busy by the share of the most that the tenant reaches there
    alone that one instance reaches; accelerators that draw on the same resource are busy together,
    and a mapping keeps those of all of its parts busy.
    It places until nothing has room.
    """

    def _placements(self, model: DeviceModel, sizes: IntArray) -> Placements:
        return np.concatenate([self._filled(model, each) for each in sizes])

    def _filled(self, model: DeviceModel, sizes: IntArray) -> Placements:
        """Return what is placed one after the other, [N, T, A, 2], with batch sizes [T, A]."""
        space = model.space
        use = utilisation_of_one(model, sizes)
        drawn = [each.resources for each in space.device.accelerators]
        resources = list(dict.fromkeys(name for each in drawn for name in each))
        draws = np.array([[name in each for name in resources] for each in drawn])  # [A, R]
        busy, instances = np.zeros(len(resources)), np.zeros(space.shape, dtype=np.int64)
        heaviest = np.argsort(-use.min(axis=1), kind="stable")
        found: list[IntArray] = []
        for number in range(space.shape[0] * space.max_instances):
            tenant = heaviest[number % space.shape[0]]
            after = np.where(
                instances[tenant] < space.max_instances,
                np.where(draws, busy, 0.0).max(axis=1) + use[tenant],
                np.inf,
            )
            accelerator = int(after.argmin())
            served = number >= space.shape[0]
            if not np.isfinite(after[accelerator]) or (served and after[accelerator] > 1.0):
                continue
            busy[draws[accelerator]] += use[tenant, accelerator]
            instances[tenant, accelerator] += 1
            if number >= space.shape[0] - 1:
                found.append(instances.copy())
        return with_sizes(np.array(found).reshape(-1, *space.shape), sizes[None])


def partitions(tenants: int, accelerators: int) -> IntArray:
    """Return ways to give accelerators to tenants as masks [P, T, A], at most `PARTITIONS`."""
    few = tenants <= accelerators
    choices = itertools.product(
        range(tenants if few else accelerators), repeat=accelerators if few else tenants
    )
    if few:
        owners = np.array([each for each in choices if len(set(each)) == tenants])
        every = owners[:, None] == np.arange(tenants)[:, None]
    else:
        homes = np.array(list(choices))
        every = homes[:, :, None] == np.arange(accelerators)
    if len(every) > PARTITIONS:
        every = every[np.random.default_rng(0).choice(len(every), PARTITIONS, replace=False)]
    return np.asarray(every)


def whole_accelerators(model: DeviceModel) -> list[int]:
    """Return the accelerators that run whole networks: mappings are none of a tenant's own."""
    devices = model.space.device.accelerators
    return [column for column, each in enumerate(devices) if each.mapping is None]


def usable_pairs(model: DeviceModel) -> BoolArray:
    """Return [T, A], True where the space has settings with an instance."""
    return np.array([len(each) > 1 for each in model.space.knob_options]).reshape(model.space.shape)


def with_sizes(instances: IntArray, sizes: IntArray) -> Placements:
    """Return placements [Z x N, T, A, 2] of instances [N, T, A] at batch sizes [Z, T, A]."""
    batches = np.where(instances > 0, sizes[:, None], 0)
    every = np.stack(np.broadcast_arrays(instances, batches), axis=-1)
    return every.reshape(-1, *every.shape[2:]).astype(np.int16)


def batch_sizes(model: DeviceModel, objective: Objective) -> IntArray:
    """Return batch sizes [Z, T, A]: each of the space's, or less where a tenant would be too late.

    One instance alone on the accelerator has to keep the tenant's p99 limit, by the model.
    """
    space = model.space
    singles = one_instance(model, range(len(space.batches)))  # [Z, T, A, T, A, 2]
    logs = alone(model, singles)
    tenants = np.arange(space.shape[0])
    limit = np.log(np.array(objective.p99_ms))
    late = logs[:, tenants, :, space.shape[0] + tenants].swapaxes(0, 1) > limit[:, None]
    levels = np.arange(len(space.batches))[:, None, None]
    largest = np.maximum.accumulate(np.where(late, 0, levels), axis=0)
    return np.asarray(np.array(space.batches)[largest])


def utilisation_of_one(model: DeviceModel, sizes: IntArray) -> FloatArray:
    """Return by how much one instance of batch sizes [T, A] keeps each accelerator busy, [T, A].

    It is infinite where a tenant cannot be served.
    """
    space, tenants = model.space, np.arange(model.space.shape[0])
    every = one_instance(model, range(len(space.batches)))
    one = alone(model, every)[:, tenants, :, tenants].swapaxes(0, 1)  # [Z, T, A]
    most = every.copy()
    most[..., 0] *= space.max_instances
    top = alone(model, most)[:, tenants, :, tenants].swapaxes(0, 1).max(axis=0)
    level = np.searchsorted(space.batches, sizes)
    own = np.take_along_axis(one, level[None], axis=0)[0]
    usable = usable_pairs(model)
    share = np.subtract(own, top, out=np.zeros_like(own), where=usable)
    return np.where(usable, np.exp(np.minimum(share, 0.0)), np.inf)


def one_instance(model: DeviceModel, levels: Rows | range) -> Placements:
    """Return one instance of one tenant on one accelerator, [Z, T, A, T, A, 2]."""
    space = model.space
    tenants, accelerators = space.shape
    found = np.zeros((len(levels), tenants, accelerators, *space.shape, 2), dtype=np.int16)
    for tenant, accelerator in itertools.product(range(tenants), range(accelerators)):
        if usable_pairs(model)[tenant, accelerator]:
            found[:, tenant, accelerator, tenant, accelerator, 0] = 1
            found[:, tenant, accelerator, tenant, accelerator, 1] = [
                space.batches[level] for level in levels
            ]
    return found


def alone(model: DeviceModel, placements: Placements) -> FloatArray:
    """Return the logarithms [Z, T, A, Q] of placements [Z, T, A, T, A, 2] by the fitted model."""
    shape = placements.shape
    logs = model.logarithms(model.nominal(), placements.reshape(-1, *shape[3:]))[0].T
    return np.asarray(logs.reshape(*shape[:3], -1))
