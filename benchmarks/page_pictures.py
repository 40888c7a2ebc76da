"""Take pictures of the page beside a simulated service, in Chromium, by day and by night.

Two networks without training are served in the model of an AGX Orin, with invented samples; what
the page shows of them is what the service says.

python -m benchmarks.page_pictures --folder docs
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.setup import invented_samples, network_file
from envs.optional import optional_import

#: Networks, with their limits on p99 [ms].
SERVED = {"mobilenet_v2": 3.0, "resnet50": 12.0}

#: Names of pictures, with the scheme of colours, and the width and height of the window [px].
PICTURES = {
    "page-light": ("light", 1200, 1230),
    "page-dark": ("dark", 1200, 1230),
    "page-light-narrow": ("light", 360, 2600),
    "page-dark-narrow": ("dark", 360, 2600),
}

#: What the picture waits for: the service has tried some configurations, and holds the best.
HOLDS = """(periods) => {
  const state = document.querySelector("#state").textContent;
  const number = Number((/period (\\d+)/.exec(state) || [0, 0])[1]);
  return state.includes("HOLDING") && number >= periods;
}"""


def served(folder: Path, period_s: float) -> tuple[subprocess.Popen[str], str]:
    """Start the service; return its process and where its page is."""
    paths = [network_file(name) for name in SERVED]
    samples = [invented_samples(path, folder)["samples"][0] for path in paths]
    command = [
        *(sys.executable, "-m", "tuner.deploy", "--runtime", "simulated", "--network"),
        *(*map(str, paths), "--samples", *samples, "--min-agreement", "0"),
        *("--p99-ms", *map(str, SERVED.values()), "--power-w", "40"),
        *("--period-s", str(period_s), "--journal", str(folder / "journal")),
        *("--folder", str(folder), "--lock", str(folder / "lock"), "--page", "0"),
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"the page is at (\S+?);", line):
            return process, found[1]
    raise RuntimeError("the service did not start")


def take(browser: Any, url: str, path: Path, periods: int) -> None:
    """Take one picture, named as in `PICTURES`."""
    scheme, width, height = PICTURES[path.stem]
    size = {"width": width, "height": height}
    context = browser.new_context(color_scheme=scheme, viewport=size)
    page = context.new_page()
    page.goto(url)
    page.wait_for_function(HOLDS, arg=periods, timeout=600_000)
    page.screenshot(path=path)
    context.close()


def main() -> int:
    """Take the pictures and return the exit code."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--folder", type=Path, default=Path("docs"))
    arguments.add_argument("--periods", type=int, default=40, help="of the service before it")
    arguments.add_argument("--period", type=float, default=1.0, help="seconds")
    arguments.add_argument("--only", nargs="+", choices=PICTURES, default=list(PICTURES))
    given = arguments.parse_args()
    api = optional_import("playwright.sync_api", "dev")
    with tempfile.TemporaryDirectory() as folder, api.sync_playwright() as playwright:
        process, url = served(Path(folder), given.period)
        try:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
            )
            for name in given.only:
                take(browser, url, given.folder / f"{name}.png", given.periods)
            browser.close()
        finally:
            process.terminate()
            process.communicate()
    return 0


if __name__ == "__main__":
    sys.exit(main())
