"""Keep inputs that were really answered as samples: files that `samples=` reads."""

from __future__ import annotations

import logging
import random
import threading
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from envs.accuracy.samples import sample_bytes
from envs.errors import OptionError, StorageError
from envs.files import check_writable, replacing
from envs.runtimes.serving.queue import Request, Sample
from envs.spec import Network, Workload

_log = logging.getLogger(__name__)

#: Samples of all networks together take at most so much memory [MiB].
MAX_MIB = 1024

#: Between two writings of the files while the service goes on.
WRITE_EVERY_S = 60.0

#: Only the user of the service may read the files: they hold what cameras saw.
PRIVATE = 0o600


class Reservoir:
    """A uniform sample of what is offered, of at most `count` (algorithm R of Vitter, 1985).

    Attributes:
        seen: the number of samples that were offered.
        kept: [at most count], copies, in no particular order.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.seen = 0
        self.kept: list[Sample] = []
        self._count = count
        self._random = random.Random(seed)

    def offer(self, sample: Sample) -> None:
        """Keep the sample with the probability that makes all offered ones equally likely."""
        self.seen += 1
        if len(self.kept) < self._count:
            self.kept.append(_copy(sample))
        elif (place := self._random.randrange(self.seen)) < self._count:
            self.kept[place] = _copy(sample)


class KeptSamples:
    """Keeps a uniform sample of the answered requests of each network, in memory and in files.

    Nothing here stops the service: what cannot be kept or written is reported once.

    Args:
        count: samples of each network.
        path: of the .npz file; with several networks the name of each is added to it.
        workload: the networks.
        seed: of the choice.

    Raises:
        OptionError: so many samples take more memory than `MAX_MIB`.
        StorageError: a file cannot be written.
    """

    def __init__(self, count: int, path: Path, workload: Workload, seed: int = 0) -> None:
        self._networks = [tenant.network for tenant in workload.tenants]
        needed_mib = count * sum(map(sample_bytes, self._networks)) / 2**20
        if needed_mib > MAX_MIB:
            raise OptionError(
                f"--keep-samples {count} would take {needed_mib:,.0f} MiB of memory, more than"
                f" {MAX_MIB:,}: keep fewer"
            )
        names = workload.names
        self.paths = [
            path.with_name(f"{path.stem}-{name}{path.suffix}") if len(names) > 1 else path
            for name in names
        ]
        for each in self.paths:
            check_writable(each, "choose another file for --keep-samples")
        self._reservoirs = [Reservoir(count, seed + each) for each in range(len(names))]
        self._written = [0] * len(names)  # how many were seen when the file was written
        self._lock = threading.Lock()
        self._last_s = time.monotonic()
        self._failed = False

    def add(self, tenant: int, requests: Sequence[Request]) -> None:
        """Offer the inputs of requests that are about to be answered; any thread may call it."""
        if self._failed:
            return
        try:
            types = [spec.dtype for spec in self._networks[tenant].inputs]
            with self._lock:
                for request in requests:
                    sample = tuple(request.values(at, dtype) for at, dtype in enumerate(types))
                    self._reservoirs[tenant].offer(sample)
        except Exception as error:  # such as no memory: the request gets its answer all the same
            self._report(f"samples are not kept any more ({type(error).__name__}: {error})")

    def write_if_due(self) -> None:
        """Write the files, once in `WRITE_EVERY_S`."""
        if time.monotonic() - self._last_s >= WRITE_EVERY_S:
            self.write()

    def write(self) -> None:
        """Write the file of each network that was asked since the last time."""
        self._last_s = time.monotonic()
        for tenant, (network, path) in enumerate(zip(self._networks, self.paths, strict=True)):
            with self._lock:
                seen, kept = self._reservoirs[tenant].seen, list(self._reservoirs[tenant].kept)
            if seen == self._written[tenant]:
                continue
            try:
                write_samples(path, network, kept)
            except StorageError as error:
                self._report(f"samples are not kept any more: {error}")
                return
            self._written[tenant] = seen

    def describe(self) -> str:
        """Say how much lies in which file."""
        return ", ".join(
            f"{len(reservoir.kept)} of {reservoir.seen:,} answered requests in {path}"
            for reservoir, path in zip(self._reservoirs, self.paths, strict=True)
        )

    def _report(self, text: str) -> None:
        if not self._failed:
            _log.warning("%s", text)
        self._failed = True


def write_samples(path: Path, network: Network, samples: Sequence[Sample]) -> None:
    """Write an .npz file that only its owner may read: [n, *shape] by input name.

    The samples go into the file one by one, so that they are not in memory twice.

    Raises:
        StorageError: the file cannot be written; an older one is untouched then.
    """
    with replacing(path, mode=PRIVATE) as file, zipfile.ZipFile(file, "w") as archive:
        for position, spec in enumerate(network.inputs):
            dtype = np.dtype(spec.dtype)
            header = {
                "descr": np.lib.format.dtype_to_descr(dtype),
                "fortran_order": False,
                "shape": (len(samples), *spec.shape),
            }
            with archive.open(f"{spec.name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array_header_1_0(member, header)
                for sample in samples:
                    member.write(np.ascontiguousarray(sample[position]).tobytes())


def _copy(sample: Sample) -> Sample:
    """Copy the arrays: a client may fill them anew as soon as it has its answer."""
    return tuple(np.array(each) for each in sample)
