"""Place applications on the boards of a Kubernetes cluster: python -m cluster.controller.

  python -m cluster.controller --dry-run         say what it would do, and change nothing
  python -m cluster.controller --image orin:1    work, with the credentials of the pod
  python -m cluster.controller --kubeconfig ~/.kube/config --namespace robots
  python -m cluster.controller --goal power --reserve 0.25    least power, a quarter of limits spare

It reads InferenceApplications (network, rate, p99), decides which board serves each on which
accelerator with which batch size, makes a Deployment for each replica and a Service for each
application, and writes status and events. All state is in the API server: it may be stopped,
started and run twice at any time; a Lease lets one act. A new server is ready before an old one
goes. Nodes need the label orin-tuner.dev/board, such as agx_orin_64, and may have
orin-tuner.dev/power-mode. The manifests are in cluster/kubernetes/manifests: docs/cluster.md.

Exit code 0: it was stopped. 2: an option is wrong, a package is missing, or (--dry-run) the API
server cannot be asked.
"""

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from cluster.kubernetes.client import TIMEOUT_S, Client
from cluster.kubernetes.decide import Settings, decide
from cluster.kubernetes.dry_run import as_text
from cluster.kubernetes.lease import DURATION_S, Leadership
from cluster.kubernetes.loop import LOOK_S, Loop
from cluster.kubernetes.objects import ServerOptions
from cluster.kubernetes.read import read_world
from cluster.placement.nodes import Rules
from cluster.placement.ours import Goal
from envs.errors import OptionError, require_positive
from envs.optional import optional_import
from tuner.flags import run
from tuner.stopping import StoppedEarly, leave


@dataclass(frozen=True)
class ControllerCommand:
    """The options of `python -m cluster.controller`.

    Attributes:
        kubeconfig: file with the API server's address and credentials; by default those of the pod,
            or of ~/.kube/config.
        namespace: whose applications are placed; by default those of all namespaces.
        lease_namespace: where the Lease lies that lets one of several controllers act.
        lease_s: for how long other controllers wait before they take over.
        look_s: it looks again after so long even if nothing changed.
        image: of the servers, as docker/Dockerfile builds it.
        profiles: folder here with NAME.onnx of networks that the catalogue lacks: what boards can
            do with them comes from their layers.
        networks_folder: of every board, with NAME.onnx for each network.
        cache_folder: of every board, where user 1000 may write: built engines.
        client: MODULE:FUNCTION in the image that brings the requests, see tuner.deploy; by default
            each server generates its load.
        precision: of engines, fp16 or int8; int8 needs samples, NAME.npz beside NAME.onnx.
        runtime_class: of the servers' pods, which need the GPU; "" for none.
        groups: numbers of the boards' groups video and render, which may use the GPU.
        goal: hosted (most applications) or power (least power) first.
        reserve: share of each p99 that is not planned with, because models and windows scatter.
        network_ms: of each p99, what a request takes on the way to a board and back.
        grace_s: for how long a node may not be ready before its applications are placed anew.
        progress_s: how long a server may take to be ready before its application counts as failed;
            building an engine takes minutes.
        dry_run: print the boards and what would be done, and change nothing.
    """

    kubeconfig: Optional[Path] = None
    namespace: str = ""
    lease_namespace: str = "orin-tuner"
    lease_s: float = DURATION_S
    look_s: float = LOOK_S
    image: str = ServerOptions.image
    profiles: Optional[Path] = None
    networks_folder: str = ServerOptions.networks
    cache_folder: str = ServerOptions.cache
    client: str = field(default="", metadata={"metavar": "MODULE:FUNCTION"})
    precision: str = ServerOptions.precision
    runtime_class: str = ServerOptions.runtime_class
    groups: list[int] = field(default_factory=lambda: list(ServerOptions.groups))
    goal: str = Goal.HOSTED.value
    reserve: float = 0.15
    network_ms: float = 1e3 * Rules.network_s
    grace_s: float = Settings.grace_s
    progress_s: float = ServerOptions.progress_s
    dry_run: bool = False


#: The shortest lease: it must outlast the requests that were begun under it.
SHORTEST_LEASE_S = 3 * TIMEOUT_S


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    return run(ControllerCommand, control, arguments, __doc__ or "")


def control(options: ControllerCommand) -> int:
    """Work until the process is stopped."""
    settings = settings_of(options)
    optional_import("kopf", "kubernetes")
    client = Client(options.kubeconfig)
    if options.dry_run:
        world = read_world(client, options.namespace)
        print(as_text(world, settings, decide(world, settings)))
        return 0
    leadership = Leadership(client, options.lease_namespace, duration_s=options.lease_s)
    loop = Loop(client, leadership, settings, options.namespace, options.look_s)
    with contextlib.suppress(StoppedEarly):
        loop.run()
    return 0


def settings_of(options: ControllerCommand) -> Settings:
    """Return what decisions depend on.

    Raises:
        OptionError: an option has a wrong value; the message names it.
    """
    require_positive("controller", options, "look_s", "progress_s")
    goals = [each.value for each in Goal]
    if options.goal not in goals:
        raise OptionError(f"--goal {options.goal}: choose from {', '.join(goals)}")
    if options.precision not in ("fp16", "int8"):
        raise OptionError(f"--precision {options.precision}: choose from fp16, int8")
    if not 0 <= options.reserve < 1:
        raise OptionError(f"--reserve {options.reserve} must lie in 0..1, below 1")
    if options.profiles is not None and not options.profiles.is_dir():
        raise OptionError(f"--profiles {options.profiles} is no folder: make it, or leave it out")
    for name in ("network_ms", "grace_s"):
        value = getattr(options, name)
        if not 0 <= value < float("inf"):
            raise OptionError(f"--{name.replace('_', '-')} {value} must be 0 or more")
    if not options.lease_s >= SHORTEST_LEASE_S:
        raise OptionError(f"--lease-s {options.lease_s} must be {SHORTEST_LEASE_S:g} or more")
    servers = ServerOptions(
        options.image,
        options.networks_folder,
        options.cache_folder,
        options.client,
        options.precision,
        options.runtime_class,
        tuple(options.groups),
        options.progress_s,
    )
    rules = Rules(network_s=options.network_ms / 1e3, reserve=options.reserve)
    return Settings(servers, rules, Goal(options.goal), options.grace_s, options.profiles)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
