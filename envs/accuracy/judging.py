"""Judge engines: compare their answers with those of FP32 on each tenant's samples."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from envs.accuracy.agreement import agreement
from envs.accuracy.batching import batched
from envs.accuracy.quantization import SAID_MACS
from envs.accuracy.reference import Array, answers_of, compared, session_of
from envs.accuracy.samples import (
    FEWEST,
    MAX_BYTES,
    Samples,
    invented,
    positive,
    sample_bytes,
)
from envs.accuracy.single import to_fp32
from envs.accuracy.verdicts import keep_verdict, kept_verdict, verdict_path
from envs.errors import NetworkError
from envs.graph.onnx_file import read_whole
from envs.spec import Agreement, Network

logger = logging.getLogger(__name__)

#: Invented samples that judge where nobody gave any.
INVENTED = 32

#: At most so many multiply-accumulates of FP32 for one network: some tens of seconds of two cores.
JUDGED_MACS = 1e12

#: At least so many samples judge, however large the network is.
FEWEST_JUDGING = 16

#: Computes the outputs of samples: one array [n, ...] for each output that depends on them.
Run = Callable[[Samples], list[Array]]


@dataclass(frozen=True)
class Examined:
    """A network that ONNX Runtime can run, with the samples of its user.

    Attributes:
        path: its ONNX file.
        network: with a fixed batch of 1 where larger batches would give wrong answers.
        single_because: why; empty where they are right.
        samples: of the user; None where nobody gave any.
        unloadable: why ONNX Runtime cannot load the file itself, so that the session has a copy of
            it in FP32; empty where it can.
        loaded: a session of ONNX Runtime, in FP32, if there is one already.
    """

    path: Path
    network: Network
    single_because: str
    samples: Samples | None
    unloadable: str = ""
    loaded: Any = field(default=None, repr=False, compare=False)

    @functools.cached_property
    def session(self) -> Any:
        """Return the session of ONNX Runtime that answers are compared with, in FP32."""
        return self.loaded or _reference(self.path, self.network)[0]

    @functools.cached_property
    def calibrating(self) -> Samples | None:
        """Return samples for INT8 ranges; None where nobody gave any."""
        return None if self.samples is None else self.samples.split()[0]

    @functools.cached_property
    def judging(self) -> Samples:
        """Return samples for the agreement, invented ones where nobody gave any."""
        if self.samples is None:
            return _invented(self.network, self.session)
        most = max(FEWEST_JUDGING, int(JUDGED_MACS / max(self.network.macs, 1)))
        return compared(self.network, self.samples.split()[1].take(slice(most)))


def examine(
    path: Path, network: Network, samples: Samples | None, cache: Path | None = None
) -> Examined:
    """Load a network on this processor, and find out whether its batches are batches.

    Args:
        path: the file that the network was read from.
        network: its description.
        samples: of its user; None where there are none.
        cache: folder that keeps what was found out: the next call with the same network and samples
            loads nothing. None to keep nothing.

    Raises:
        NetworkError: ONNX Runtime cannot load or run it; the message has its reason.
        DependencyError: onnxruntime is not installed.
    """
    for spec in network.inputs:
        if spec.dtype == "bfloat16":
            raise NetworkError(
                f"{path} has the input {spec.name!r} of bfloat16, of which ONNX Runtime takes no"
                " arrays from Python: export it with inputs of float32 or float16"
            )
    known = None if cache is None else verdict_path(cache, network, samples)
    reason = None if known is None else kept_verdict(known)
    session, unloadable = (None, "") if reason is not None else _reference(path, network)
    if reason is None:
        reason = batched(path, network, session, samples)
        if known is not None and not unloadable:
            keep_verdict(known, reason)
    if reason:
        network = replace(network, fixed_batch=1)
    return Examined(path, network, reason, samples, unloadable, session)


def _reference(path: Path, network: Network) -> tuple[Any, str]:
    """Return the session that answers are compared with, and why it is not one of the file.

    For processors ONNX Runtime has few operators in BF16, whose numbers are all in FP32.
    """
    try:
        return session_of(path, str(path), halves=network.float_type != "float32"), ""
    except NetworkError as error:
        if network.float_type != "bfloat16":
            raise
        try:
            copy = to_fp32(read_whole(path)).SerializeToString()
            return session_of(copy, f"the FP32 copy of {path}"), str(error)
        except (NetworkError, ValueError):
            raise error from None


def _invented(network: Network, session: Any) -> Samples:
    """Return invented samples that give finite answers, if some do; a few of them are run."""
    most = max(FEWEST_JUDGING, int(JUDGED_MACS / max(network.macs, 1)))
    count = min(INVENTED, most, max(FEWEST, MAX_BYTES // max(sample_bytes(network), 1)))
    first = invented(network, count)
    answers = answers_of(session, network, first.take(slice(FEWEST)))
    finite = all(np.isfinite(each).all() for each in answers if each.dtype.kind == "f")
    return first if finite else positive(network, count)


class Judge:
    """Compares engines with FP32, whose answers are computed once for each tenant.

    Args:
        examined: [T].
    """

    def __init__(self, examined: Sequence[Examined]) -> None:
        self._examined = examined
        self._expected: dict[int, list[Array]] = {}

    def same(self, tenant: int) -> Agreement:
        """Return the agreement of the file itself, which no sample is needed for."""
        name = self._examined[tenant].network.name
        return Agreement(1.0, f"{name} as it is", 0, math.inf)

    def agreement(self, tenant: int, run: Run) -> Agreement:
        """Return how far what `run` computes agrees with FP32."""
        examined = self._examined[tenant]
        if tenant not in self._expected:
            if examined.network.macs * len(examined.judging) > SAID_MACS:
                logger.info(
                    "judging the answers of %s on %d %ssamples",
                    examined.network.name,
                    len(examined.judging),
                    "invented " * examined.judging.synthetic,
                )
            self._expected[tenant] = answers_of(
                examined.session, examined.network, examined.judging
            )
        samples = examined.judging
        return agreement(self._expected[tenant], run(samples), len(samples), samples.synthetic)
