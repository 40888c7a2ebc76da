import pytest

pytest.importorskip("torch", reason="python -m cluster.train imports torch")

from cluster import train as command
from cluster.fleet.options import FleetOptions
from envs.errors import OptionError


def test_a_cluster_that_is_not_there_is_told_before_problems_are_drawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(command, "train", lambda *_: pytest.fail("the training began"))
    options = command.FleetCommand(fleet=FleetOptions(workers=1, address="127.0.0.1:1"))
    with pytest.raises(OptionError, match="no Ray answers there"):
        command.main(options)
