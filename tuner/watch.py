"""Watch a running command in the terminal or the browser: python -m tuner.watch.

  python -m tuner.watch --journal run.jsonl              a service: what deploy --journal writes
  python -m tuner.watch --journal run.jsonl --limits limits.json    the same, and change its limits
  python -m tuner.watch --journal run.jsonl              a tuning: what tune --journal writes
  python -m tuner.watch --metrics-port 9105              a service: its metrics for Prometheus
  python -m tuner.watch --recording traces/my.parquet    a recording that is being written
  python -m tuner.watch --run runs/train/NAME            a training: its learning curve
  python -m tuner.watch --journal run.jsonl --page 9106  any of these on a page in the browser

It reads what these commands write anyway and asks them for nothing, except for the metrics, which
it scrapes as Prometheus does. A journal may be finished: then it can be looked through. Of a large
file only the end is read. Keys: space holds the screen, the arrows look back and forward, Page up
and down in steps of 20, Home and End go to the oldest period and to the present, t draws the next
network's p99, l changes a limit (it asks first), q leaves. A page is served until Ctrl-C.

Exit code 0: the user left. 2: an option is wrong, or there is no terminal, or none with UTF-8.
"""

import codecs
import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from envs.errors import OptionError
from envs.optional import optional_import
from tuner.flags import run
from tuner.page.options import PageOptions
from tuner.stopping import leave
from tuner.watching.sources import (
    JournalSource,
    MetricsSource,
    RecordingSource,
    Source,
    TrainingSource,
)
from tuner.watching.training_rows import FILE


@dataclass(frozen=True)
class WatchCommand:
    """The options of `python -m tuner.watch`; one of the first four says what to watch.

    Attributes:
        journal: of a service or a tuning, as `deploy --journal` or `tune --journal` names it.
        metrics_port: of a service on this computer, as `deploy --metrics-port` names it.
        recording: a trace that `record --out` is writing.
        run: the folder of a training, or its learning_curve.csv.
        limits: the file that `deploy --limits` names, to change limits in it.
        page: the view in the browser instead of the terminal.
    """

    journal: Optional[Path] = None
    metrics_port: Optional[int] = None
    recording: Optional[Path] = None
    run: Optional[Path] = None
    limits: Optional[Path] = None
    page: PageOptions = field(default_factory=PageOptions)


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    return run(WatchCommand, watch, arguments, __doc__ or "")


def watch(options: WatchCommand) -> None:
    """Show the view until the user leaves."""
    source = source_of(options)
    options.page.check()
    if options.metrics_port is not None:
        optional_import("prometheus_client.parser", "watch")
    if options.page.page is not None:
        show_page(options, source)
        return
    app = optional_import("textual.app", "watch") and optional_import("tuner.watching.app", "watch")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise OptionError("python -m tuner.watch needs a terminal: run it in one, without a pipe")
    if codecs.lookup(sys.stdout.encoding).name != "utf-8":
        raise OptionError(
            f"the view draws with characters that {sys.stdout.encoding} lacks: set LC_ALL=C.UTF-8,"
            " and no PYTHONIOENCODING"
        )
    app.WatchApp(source, options.limits).run()


def show_page(options: WatchCommand, source: Source) -> None:
    """Serve the page until Ctrl-C or SIGTERM."""
    access = optional_import("tuner.page.access", "page")
    server = optional_import("tuner.page.server", "page")
    opened = options.page.opened()
    assert opened is not None
    opened.announce(changes_limits=options.limits is not None)
    with contextlib.suppress(KeyboardInterrupt):
        rules = access.Access(opened.address, opened.token)
        server.serve(opened.listener, rules, source, options.limits)


def source_of(options: WatchCommand) -> Source:
    """Return what is to be watched.

    Raises:
        OptionError: none or several things are given, or one that cannot be.
    """
    given = (options.journal, options.metrics_port, options.recording, options.run)
    if sum(each is not None for each in given) != 1:
        raise OptionError("give one of --journal, --metrics-port, --recording and --run")
    serves = options.journal is not None or options.metrics_port is not None
    if options.limits is not None and not serves:
        raise OptionError("--limits are those of a service: give --journal or --metrics-port too")
    if options.metrics_port is not None:
        if not 0 < options.metrics_port < 1 << 16:
            raise OptionError(f"--metrics-port {options.metrics_port} must lie in 1..65535")
        return MetricsSource(options.metrics_port)
    if options.recording is not None:
        return RecordingSource(options.recording)
    if options.journal is not None:
        return JournalSource(options.journal)
    assert options.run is not None
    return TrainingSource(options.run / FILE if options.run.is_dir() else options.run)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
