r"""Divide the layers of a network among a board's accelerators, by its model: python -m tuner.map.

  python -m tuner.map --network my.onnx                               on an AGX Orin at full power
  python -m tuner.map --network resnet50 --board agx_orin_64 --mode 30W
  python -m tuner.map --network my.onnx --latency-ms 4 --weight 0     least energy within 4 ms
  python -m tuner.map --network my.onnx --energy-mj 12 --weight 1     least time within 12 mJ
  python -m tuner.map --network my.onnx --accelerators tensor dla0 --max-transitions 1
  python -m tuner.map --network a.onnx b.onnx                         and how both run together

It prints the single accelerators, the front of time and energy, the mapping that is best by
--weight within the limits, and the gain over the best single accelerator. map.html shows the
network as strips of layer groups. A mapping's name says where each group runs: dla0_to_7_tensor
runs groups 0 to 6 on dla0 and the others on tensor. Of several networks it also prints a schedule:
which group runs when and where, when all begin together (needs 'orin-tuner[schedules]').

Every number is simulated, by the device model: nothing is measured. Networks are ONNX files, or
names of reference networks. Exit code 2: an option or a network is wrong. 3: no mapping keeps the
limits.
"""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Optional

from envs.errors import NoFeasibleConfiguration, OptionError
from envs.files import check_writable
from envs.graph.binding import all_bound
from envs.graph.onnx_file import network_name
from tuner.console import table
from tuner.evaluation.mapping_report import write_mapping_report
from tuner.evaluation.mapping_schedule import schedule_section
from tuner.flags import run
from tuner.folders import cache_folder
from tuner.map_answer import (
    BOARD,
    TRANSITIONS,
    WEIGHT,
    LayerMap,
    MapRequest,
    check_network,
    mapped_layers,
)
from tuner.map_schedule import ScheduleRequest, scheduled
from tuner.map_text import (
    chosen_lines,
    front_table,
    gain_lines,
    page_of,
    schedule_lines,
    schedule_sentence,
    setting,
)
from tuner.options import plain
from tuner.versions import versions


@dataclass(frozen=True)
class MapCommand:
    """The options of `python -m tuner.map`.

    Attributes:
        network: ONNX files, or names of reference networks.
        board: of the catalogue.
        mode: power mode of the board, by default its largest.
        accelerators: those to divide layers among; by default those of the GPU and the first DLA
            core.
        tensor_precision: of Tensor Cores, fp16 or int8.
        dla_precision: of a DLA, int8 or fp16.
        batch: samples in a batch.
        weight: of time against energy in the choice, from 0 (energy alone) to 1 (time alone).
        latency_ms: limit on the time of a batch.
        energy_mj: limit on the energy of an inference, in millijoules.
        max_transitions: how often a mapping may change the accelerator.
        shape: the shape of an input with other free dimensions than the batch, as in
            images:1x3x640x640.
        fix: the value of an input that is the same for every request, as in sr:16000.
        goal: of several networks together, makespan (least time until all are done) or throughput
            (most batches per second).
        seconds: for the search of their schedule.
        out: the HTML file of the report.
    """

    network: list[str] = field(default_factory=list, metadata={"metavar": "NETWORK"})
    board: str = BOARD
    mode: Optional[str] = None
    accelerators: Optional[list[str]] = None
    tensor_precision: str = MapRequest.tensor_precision
    dla_precision: str = MapRequest.dla_precision
    batch: int = 1
    weight: float = WEIGHT
    latency_ms: Optional[float] = None
    energy_mj: Optional[float] = None
    max_transitions: int = TRANSITIONS
    shape: Optional[list[str]] = field(default=None, metadata={"metavar": "INPUT:SHAPE"})
    fix: Optional[list[str]] = field(default=None, metadata={"metavar": "INPUT:VALUE"})
    goal: str = ScheduleRequest.goal
    seconds: float = ScheduleRequest.seconds
    out: Path = Path("map.html")


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    return run(MapCommand, map_command, arguments, __doc__ or "")


def map_command(options: MapCommand) -> None:
    """Print the mappings of each network, and write the report."""
    given = plain(options)
    request = MapRequest(**{each.name: given[each.name] for each in fields(MapRequest)})
    request.check()
    if not options.network:
        raise OptionError("network is missing: give an ONNX file, as in --network my.onnx")
    for network in options.network:
        check_network(network)
    together = ScheduleRequest(options.goal, options.seconds)
    if len(options.network) > 1:
        together.check()
    check_writable(options.out, "choose another --out")
    maps = [
        mapped_layers(file, request, network_name(network))
        for network, file in zip(options.network, _files(options), strict=True)
    ]
    for each in maps:
        show(each)
    facts = {
        "command": shlex.join(["python", *sys.orig_argv[1:]]),
        "options": plain(request),
        "versions": versions(),
    }
    section = ""
    if len(maps) > 1:
        found = scheduled(maps, together)
        print("\n".join(schedule_lines(found)))
        said = schedule_sentence(found)
        section = schedule_section(found.names, found.schedule, found.whole, said)
    pages = [page_of(each) for each in maps]
    write_mapping_report(options.out, pages, request.device, schedule=section, facts=facts)
    print(f"report: {options.out}")
    for each in maps:
        if each.chosen is None:
            raise NoFeasibleConfiguration(
                f"no mapping of {each.costs.network} keeps the limits: give more time or energy, or"
                " a larger --max-transitions"
            )


def _files(options: MapCommand) -> list[str]:
    """Return the networks; files with the sizes and values that were asked for are copies."""
    files = [each for each in options.network if Path(each).is_file()]
    if not (options.shape or options.fix):
        return options.network
    bound = all_bound(
        [Path(each) for each in files], options.shape or (), options.fix or (), cache_folder()
    )
    copies = dict(zip(files, map(str, bound), strict=True))
    return [copies.get(each, each) for each in options.network]


def show(found: LayerMap) -> None:
    """Print what was found for one network."""
    print(setting(found))
    table(*front_table(found))
    print("\n".join([*chosen_lines(found), *gain_lines(found)]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
