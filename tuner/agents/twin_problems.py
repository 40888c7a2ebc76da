"""A source of problems for a training: a twin of a recorded device."""

from collections.abc import Sequence
from pathlib import Path

from envs.graph.layers import read_network_and_layers
from envs.problems.twin import fits_of, twin_of, twin_world
from envs.problems.world import World
from envs.traces.remark import remark
from tuner.agents.sources import RecordedProblems, kept_or_drawn
from tuner.console import progress_bar
from tuner.policy.device_twin import DeviceTwin
from tuner.twin_report import twin_sentence, write_twin


class TwinProblems(RecordedProblems):
    """Problems drawn in a twin of a recorded device (simulated), over its whole space.

    Args:
        name: of the recording, by name or path.
        networks: ONNX files of the recorded networks, whose layers the model then knows; without
            them it knows their totals.
        problems, seed, jobs: of the draw.
    """

    def __init__(
        self, name: str, networks: Sequence[str], problems: int, seed: int, jobs: int
    ) -> None:
        super().__init__(name, problems, seed)
        trace, layers = self.trace, None
        if networks:
            read = [read_network_and_layers(Path(path)) for path in networks]
            trace.check_networks([network for network, _ in read])
            layers = tuple(table for _, table in read)
        with progress_bar("conditioning the model on the recording", fits_of(trace)) as advance:
            self.report = twin_of(trace, layers, advance)
        self.twin = DeviceTwin.of(self.report.model)
        told = self.report.to_dict()
        self.sentence = f"training on a twin of {trace.path.name}: {twin_sentence(self.report)}"
        if remark(trace):
            self.sentence += f"\n{remark(trace)}"
        self.identity |= {"twin": self.twin.fingerprint}
        self.provenance |= {"twin": told}
        self._jobs = jobs

    def world(self, run: Path) -> World:
        """Draw the problems, or read those that the run drew before; write `twin.json`."""
        write_twin(run / "twin.json", self.report)
        problems, seed = self.arguments
        return kept_or_drawn(
            run,
            problems,
            lambda progress: twin_world(self.report.model, problems, seed, self._jobs, progress),
        )
