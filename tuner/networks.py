"""Write published networks as ONNX files, to try things with: python -m tuner.networks."""

import argparse
from pathlib import Path

from envs.catalog.architectures import ARCHITECTURES, architecture, write
from envs.errors import OptionError
from envs.graph.reading import read_network
from envs.spec import Network
from tuner.console import exit_code

MIB = 1 << 20


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = _parser()
    options = parser.parse_args(argv)
    if not options.names:
        parser.print_help()
        print(
            "\nnothing written: name at least one network, for example:"
            " python -m tuner.networks resnet50"
        )
        return OptionError.exit_code
    return exit_code(lambda: _write(options))


def _write(options: argparse.Namespace) -> None:
    for name in options.names:
        architecture(name)  # before the first file is written, not after half of them
    rows = []
    for name in dict.fromkeys(options.names):
        path = write(name, options.out, options.seed)
        rows.append(_row(path, read_network(path)))
    print(_table([("network", "file", "parameters", "GMACs", "weights [MiB]"), *rows]))


def _parser() -> argparse.ArgumentParser:
    lines = [
        f"  {name:<14} {fact.parameters / 1e6:6.1f} M parameters {fact.macs / 1e9:6.2f} GMACs"
        for name, fact in ARCHITECTURES.items()
    ]
    parser = argparse.ArgumentParser(
        prog="python -m tuner.networks",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Write published image classifiers as ONNX files with a free batch dimension,"
        " to measure and tune with.\nThe weights are random: right for speed, memory and power, of"
        " no use to classify. Nothing is downloaded.",
        epilog="networks (one 224 x 224 image):\n"
        + "\n".join(lines)
        + "\n\nexample:\n  python -m tuner.networks resnet50 mobilenet_v2 --out networks",
    )
    parser.add_argument("names", nargs="*", metavar="NETWORK", help="a network of the list below")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("networks"),
        metavar="FOLDER",
        help="where to write (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="of the weights; the same seed gives the same bytes (default: %(default)s)",
    )
    return parser


def _row(path: Path, network: Network) -> tuple[str, ...]:
    count = ARCHITECTURES[network.name].parameters
    return (
        network.name,
        str(path),
        f"{count:,}",
        f"{network.macs / 1e9:.2f}",
        f"{network.weight_bytes / MIB:.1f}",
    )


def _table(rows: list[tuple[str, ...]]) -> str:
    """Return aligned rows: words to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
