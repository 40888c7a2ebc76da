"""Train one policy with the rollouts of many workers: python -m cluster.train."""

import contextlib
import sys
from dataclasses import dataclass, field, replace

from envs.errors import DependencyError
from tuner.cli import run_command

try:
    from cluster.fleet.crew import check_port
    from cluster.fleet.options import FleetOptions
    from cluster.fleet.rollouts import FleetRollouts
    from tuner.agents.agent_options import on_twin
    from tuner.train import TrainCommand, compare, train
except ModuleNotFoundError as error:  # it imports torch
    print(f"error: {error.name} is not installed: pip install 'orin-tuner[fleet]'", file=sys.stderr)
    sys.exit(DependencyError.exit_code)


@dataclass(frozen=True)
class FleetCommand(TrainCommand):
    """Options of python -m cluster.train: those of python -m tuner.train, and of the fleet.

    Attributes:
        fleet: who makes the rollouts.
    """

    fleet: FleetOptions = field(default_factory=FleetOptions)


def main(options: FleetCommand) -> int:
    """Train, compare the policy with searches, and print where the bundle is."""
    if options.fleet.address not in (None, "auto"):
        check_port(str(options.fleet.address))  # before problems are drawn, which takes minutes
    if options.fleet.boards:  # a policy that knows the model learns little from twins: few steps
        draw = replace(options.draw, boards=list(dict.fromkeys(options.fleet.boards)))
        options = replace(options, agent=on_twin(options.agent), draw=draw)
    with contextlib.ExitStack() as stack:
        source, bundle = train(options, stack, FleetRollouts(options.fleet))
    compare(source, options, bundle)
    print(f"policy bundle: {bundle}")
    return 0


if __name__ == "__main__":
    run_command("fleet", FleetCommand, main)
