"""What a person sees of a run, all on standard error: log lines, a live line, a last line."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipelines import report
from pipelines.options import Options, Runner
from pipelines.printable import one_line, printable
from pipelines.progress import Meter
from transforms.errors import TransferError
from transforms.registry import Bridge

_log = logging.getLogger(__name__)

DEMO = "DEMO "
"""What every line of a demo begins with."""

LIVE_PERIOD_S = 0.25
LOG_PERIOD_S = 10.0
_JOIN_S = 0.2
_BAR_WIDTH = 20

_OURS = ("pipelines", "transforms", "__main__")
_QUIETER = {
    "py.warnings": logging.ERROR,
    # callbacks that took 0.1 s
    "kafka.net.selector": logging.ERROR,
    # "no partition metadata" of a topic, a moment before it arrives
    "kafka.coordinator.assignors": logging.ERROR,
    # that Prism's process is started, and ended
    "apache_beam.utils.subprocess_server": logging.ERROR,
    # every error of a DoFn, which the runtime says again
    "apache_beam.runners.common": logging.CRITICAL,
}
"""From which level on these are heard, whose warnings or errors help only developers."""


class _Formatter(logging.Formatter):
    """`time level text`, one line a record; tracebacks only in debug. Foreign loggers are named."""

    def __init__(self, debug: bool, prefix: str) -> None:
        super().__init__(datefmt="%Y-%m-%d %H:%M:%S")
        self._debug = debug
        self.prefix = prefix

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if self._debug or record.name.partition(".")[0] not in _OURS:
            text = f"{record.name}: {text}"
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            text += ": " + "".join(traceback.format_exception_only(error)).strip().split("\n")[-1]
        lines = [f"{self.formatTime(record, self.datefmt)} {record.levelname} " + one_line(text)]
        if record.exc_info and self._debug:
            lines += map(printable, self.formatException(record.exc_info).splitlines())
        return "\n".join(self.prefix + line for line in lines)


class _Handler(logging.Handler):
    """Writes above the live line while there is one, else plainly to standard error."""

    prefix = ""
    console: Console | None = None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.write(self.format(record))
        except Exception:
            self.handleError(record)

    def write(self, text: str) -> None:
        if self.console is not None:
            self.console.print(Text(text), soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)


_handler = _Handler()


def configure_logging(debug: bool, demo: bool) -> None:
    """Ours from INFO on, everybody else's from WARNING on; in debug all.

    Args:
      demo: every line begins with DEMO.
    """
    _handler.prefix = DEMO if demo else ""
    _handler.setFormatter(_Formatter(debug, _handler.prefix))
    root = logging.getLogger()
    if _handler not in root.handlers:
        root.addHandler(_handler)
    root.setLevel(logging.DEBUG if debug else logging.WARNING)
    for name in _OURS:
        logging.getLogger(name).setLevel(logging.DEBUG if debug else logging.INFO)
    logging.captureWarnings(True)
    for name, level in _QUIETER.items():
        logging.getLogger(name).setLevel(logging.DEBUG if debug else level)
    # gRPC's core does not log through Python.
    os.environ.setdefault("GRPC_VERBOSITY", "INFO" if debug else "NONE")


def say(text: str) -> None:
    """Plain text, without time and level."""
    _handler.write("\n".join(_handler.prefix + printable(line) for line in text.split("\n")))


def write_now(text: str) -> None:
    """One plain line, written without any lock, so that a signal handler may."""
    erase = "\r\x1b[2K" if _handler.console is not None else ""
    os.write(2, f"{erase}{_handler.prefix}{text}\n".encode())


def on_terminal() -> bool:
    """Whether standard error is one that can show a live line."""
    return sys.stderr.isatty() and os.environ.get("TERM") not in (None, "dumb")


@contextlib.contextmanager
def progress(bridge: Bridge, options: Options) -> Iterator[Meter]:
    """Shows how the transfer gets on, as `options.progress` says, and measures its time."""
    route = options.route
    files_only = route.sinks == ("archive",)
    meter = Meter(bridge, options.pipeline, route.source, options.bounded, files_only)
    live = on_terminal() if options.progress is None else options.progress
    with contextlib.ExitStack() as stack:
        if options.runner is Runner.PORTABLE:
            pass  # it is other processes that count
        elif live:
            stack.enter_context(_live_line(meter))
        elif options.progress is None:
            stack.enter_context(_log_lines(meter))
        stack.callback(meter.stop)
        yield meter


def summary(bridge: Bridge, options: Options, seconds: float) -> None:
    """Writes the report, if one is asked for, and the last line.

    A report that cannot be written is the run's failure, unless it has one already.
    """
    if options.report is not None:
        try:
            report.write(options.report, report.content(bridge, seconds))
        except OSError as error:
            _log.error("write --report %s: %s", options.report, error.strerror)
            bridge.fail(TransferError(f"write --report {options.report}: {error.strerror}"))
    level = logging.INFO if bridge.failure is None else logging.ERROR
    line = report.last_line(
        bridge,
        options.pipeline,
        options.route.source,
        seconds,
        elsewhere=options.runner is Runner.PORTABLE,
    )
    _log.log(level, "%s", line)


@contextlib.contextmanager
def _live_line(meter: Meter) -> Iterator[None]:
    console = Console(stderr=True, force_terminal=True, highlight=False)
    prefix = _handler.prefix
    # The text is made outside rich's locks: `lag` waits for a source that is connecting, which
    # may itself log, through the same console.
    with Live(console=console, auto_refresh=False, redirect_stdout=False) as live:

        def show() -> None:
            live.update(_shown(meter, prefix, console.width), refresh=True)

        _handler.console = console
        try:
            show()
            with repeating(show, LIVE_PERIOD_S):
                yield
            show()
        finally:
            _handler.console = None


def _shown(meter: Meter, prefix: str, width: int) -> RenderableType:
    """The line, behind a bar where it is known how much there is to do."""
    share = meter.share()
    bar_width = 0 if share is None else min(_BAR_WIDTH, width // 5)
    room = width - len(prefix) - (bar_width + 1 if bar_width else 0)
    text = Text(prefix + meter.line(room), no_wrap=True, overflow="ellipsis")
    if share is None:
        return text
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_row(ProgressBar(total=1.0, completed=share, width=bar_width), text)
    return grid


@contextlib.contextmanager
def _log_lines(meter: Meter) -> Iterator[None]:
    def show() -> None:
        _log.info("%s", meter.line())

    with repeating(show, LOG_PERIOD_S):
        yield


@contextlib.contextmanager
def repeating(action: Callable[[], None], period_s: float) -> Iterator[None]:
    """Calls `action` each period in a thread that ends with the context."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(period_s):
            action()

    thread = threading.Thread(target=run, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(_JOIN_S)
