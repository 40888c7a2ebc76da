"""Inputs that were answered, kept as samples: which, how many, and in what file."""

from __future__ import annotations

import logging
import os
import stat
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from envs.accuracy.samples import read_samples
from envs.errors import OptionError, StorageError
from envs.files import read_arrays
from envs.runtimes.serving.queue import Request
from envs.spec import Network, TensorSpec, Workload, workload_of
from tuner.control import kept_samples
from tuner.control.kept_samples import KeptSamples, Reservoir

INPUTS = (TensorSpec("image/x:0", (2, 3), "float32"), TensorSpec("file", (), "int64"))
OUTPUTS = (TensorSpec("y", (1,), "float32"),)


def network(name: str, inputs: tuple[TensorSpec, ...] = INPUTS) -> Network:
    return Network(name, "", 0, 0, 0, 0, inputs, OUTPUTS, None)


def workload(*names: str) -> Workload:
    return workload_of([network(name) for name in names])


def request(number: int) -> Request:
    return Request((np.full((2, 3), number, np.float32), np.asarray(number)), None)


def offer(kept: KeptSamples, numbers: range, tenant: int = 0) -> None:
    for number in numbers:
        kept.add(tenant, [request(number)])


def test_every_answered_request_is_as_likely_as_the_others() -> None:
    """20 of 100, 2000 times: a count is binomial with mean 400 and standard deviation 18."""
    counts: Counter[int] = Counter()
    for seed in range(2000):
        reservoir = Reservoir(20, seed)
        for number in range(100):
            reservoir.offer((np.asarray(number),))
        assert len(reservoir.kept) == 20
        assert reservoir.seen == 100
        counts.update(int(sample[0]) for sample in reservoir.kept)
    assert min(counts.values()) > 400 - 5 * 18
    assert max(counts.values()) < 400 + 5 * 18


def test_the_file_holds_the_inputs_by_name_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "größe.npz"
    kept = KeptSamples(5, path, workload("net"))
    kept.write()
    assert not path.exists(), "nothing was answered"
    offer(kept, range(3))
    kept.write()
    with np.load(path, allow_pickle=False) as found:
        assert set(found) == {"image/x:0", "file"}
        assert found["file"].tolist() == [0, 1, 2]
        assert found["image/x:0"].shape == (3, 2, 3)
        assert found["image/x:0"].dtype == np.float32
        assert (found["image/x:0"] == np.arange(3)[:, None, None]).all()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert set(read_arrays(path, 1 << 20)) == {"image/x:0", "file"}
    assert len(read_samples(path, network("net"))) == 3, "as --samples reads it"
    offer(kept, range(3, 300))
    kept.write()
    with np.load(path, allow_pickle=False) as found:
        assert len(set(found["file"].tolist())) == 5
        assert (found["image/x:0"][:, 0, 0] == found["file"]).all(), "of one request each"
    assert kept.describe() == f"5 of 300 answered requests in {path}"
    assert list(tmp_path.iterdir()) == [path]


def test_samples_are_copies(tmp_path: Path) -> None:
    kept = KeptSamples(5, tmp_path / "s.npz", workload("net"))
    image, number = np.zeros((2, 3), np.float32), np.asarray(7)
    kept.add(0, [Request((image, number), None)])
    image[:] = 99.0  # the client has its answer, and fills its array anew
    kept.write()
    with np.load(tmp_path / "s.npz") as found:
        assert (found["image/x:0"] == 0).all()


def test_each_network_has_a_file(tmp_path: Path) -> None:
    kept = KeptSamples(2, tmp_path / "s.npz", workload("a", "b", "a"))
    assert [path.name for path in kept.paths] == ["s-a.npz", "s-b.npz", "s-a_2.npz"]
    offer(kept, range(4), tenant=1)
    kept.write()
    assert [path.name for path in tmp_path.iterdir()] == ["s-b.npz"]


def test_it_is_written_once_in_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.npz"
    kept = KeptSamples(2, path, workload("net"))
    offer(kept, range(2))
    kept.write_if_due()
    assert not path.exists()
    monkeypatch.setattr(kept_samples, "WRITE_EVERY_S", 0.0)
    kept.write_if_due()
    before = path.stat().st_ino
    kept.write_if_due()
    assert path.stat().st_ino == before, "nothing new, nothing written"


def test_too_many_and_a_place_that_cannot_be_written_are_one_sentence(tmp_path: Path) -> None:
    large = workload_of([network("net", (TensorSpec("x", (3, 2048, 2048), "float32"),))])
    with pytest.raises(OptionError, match="--keep-samples 100 would take 4,800 MiB of memory"):
        KeptSamples(100, tmp_path / "s.npz", large)
    (tmp_path / "s-b.npz").mkdir()
    with pytest.raises(StorageError, match=r"s-b.npz: it is a folder"):
        KeptSamples(1, tmp_path / "s.npz", workload("a", "b"))


def test_what_fails_is_reported_once_and_hurts_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    kept = KeptSamples(2, folder / "s.npz", workload("net"))
    offer(kept, range(2))
    folder.rmdir()
    folder.write_text("a file where the folder was")
    with caplog.at_level(logging.WARNING):
        kept.write()
        offer(kept, range(2))
        kept.write()
    assert [record.getMessage()[:32] for record in caplog.records] == [
        "samples are not kept any more: c"
    ]


def test_many_threads_offer_at_once(tmp_path: Path) -> None:
    kept = KeptSamples(50, tmp_path / "s.npz", workload("net"))
    threads = [
        threading.Thread(target=offer, args=(kept, range(1000 * n, 1000 * n + 500)))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        kept.write()
    kept.write()
    assert kept.describe().startswith("50 of 4,000 answered")
    with np.load(tmp_path / "s.npz") as found:
        assert (found["image/x:0"][:, 1, 2] == found["file"]).all()
    assert os.listdir(tmp_path) == ["s.npz"]
