"""Draw the picture of the terminal view: a service in the model of an AGX Orin.

The service is a real `tuner.deploy` whose device is simulated. Half-way its power limit goes down,
so that it has to find another configuration. The picture is what the view then shows.

python -m benchmarks.terminal_picture       writes docs/watch.svg, about half a minute
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.figures import ROOT
from benchmarks.setup import network_file
from envs.files import replacing
from tuner.watching.app import WatchApp
from tuner.watching.sources import JournalSource
from tuner.watching.state import Watched

#: Columns and lines of the terminal.
SIZE = (112, 28)

#: Textual's pictures ask a server for their font; a reader's own will do.
FONT_RULE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def serve(folder: Path, periods: int) -> Path:
    """Serve two networks in the model, lower the power limit half-way, and return the journal."""
    journal, limits = folder / "run.jsonl", folder / "limits.json"
    limits.write_text(json.dumps({"p99_ms": [20, 10], "power_w": 40}))
    networks = [str(network_file(name)) for name in ("squeezenet1_1", "mobilenet_v2")]
    command = [
        *(sys.executable, "-m", "tuner.deploy", "--network", *networks),
        *("--runtime", "simulated", "--board", "agx_orin_64", "--limits", str(limits)),
        *("--journal", str(journal), "--periods", str(periods)),
        *("--folder", str(folder), "--lock", str(folder / "lock")),
    ]
    with subprocess.Popen(command) as service:
        while service.poll() is None:
            lines = journal.read_bytes().count(b"\n") if journal.exists() else 0
            if lines >= periods // 2:
                limits.write_text(json.dumps({"p99_ms": [20, 10], "power_w": 25}))
                break
            time.sleep(0.002)
    if service.returncode:
        raise SystemExit(service.returncode)
    return journal


def screen(journal: Path) -> str:
    """Return the screen of the view over a journal, as SVG."""
    source = JournalSource(journal)

    async def drawn() -> str:
        app = WatchApp(source, poll_s=None)
        app.watched = Watched(journal.name)
        async with app.run_test(size=SIZE) as pilot:
            app.take(replace(source.poll(), age_s=0.0))
            await pilot.pause()
            return app.export_screenshot(title="python -m tuner.watch --journal run.jsonl")

    return FONT_RULE.sub("", asyncio.run(drawn()))


def main() -> int:
    """Draw the picture and return the exit code."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--periods", type=int, default=80)
    arguments.add_argument("--out", type=Path, default=ROOT / "docs" / "watch.svg")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        drawing = screen(serve(Path(folder), given.periods))
    with replacing(given.out) as file:
        file.write(drawing.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
