"""Let the API server go, refuse requests, and lose answers."""

from __future__ import annotations

import time

from benchmarks.cluster_fault_steps import Phases, begin, serve
from tests.cluster.kubernetes.stage import Stage


def server_restarted(stage: Stage) -> Phases:
    """Restart the API server while applications are placed."""
    begin(stage)
    stage.server.restart()
    return {}


def server_killed(stage: Stage) -> Phases:
    """Kill the API server in the middle of placing, and start it again."""
    begin(stage)
    stage.server.kill()
    stage.server.start()
    return {}


def server_away(stage: Stage) -> Phases:
    """Let the API server be away for ten seconds after an edit that was not looked at."""
    serve(stage)
    stage.edit("gate", rateIps=20)
    stage.server.kill()
    time.sleep(10)
    stage.server.start()
    return {}


def server_refuses(stage: Stage) -> Phases:
    """Let the API server answer with 503, and then with 429, for some seconds each."""
    begin(stage)
    for status in (503, 429):
        stage.proxy.refuse = status
        time.sleep(3)
    stage.proxy.refuse = None
    return {}


def answers_lost(stage: Stage) -> Phases:
    """Lose the answers to the next five changes, which are made all the same."""
    stage.proxy.lose_answers = 5
    begin(stage)
    return {}


def connections_cut(stage: Stage) -> Phases:
    """Cut all connections, watches too, and edit in the same moment."""
    serve(stage)
    stage.proxy.cut()
    stage.edit("yard", rateIps=25)
    return {}
