"""Progress, as a terminal, a file and a program read it."""

import io
import json

from weightgate.download import progress
from weightgate.download.progress import Progress, bytes_in_words


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def arrive(told: progress.Event, seconds: int = 20) -> None:
    """2 MB a second, of 100 MB."""
    clock = Clock()
    shown = Progress(told, clock)
    shown.begin(bytes=100_000_000)
    for _ in range(seconds):
        clock.now += 1
        shown.add(2_000_000)


def test_speed_and_time_left_are_those_of_the_last_seconds() -> None:
    """So a pause long ago does not count."""
    events = list[progress.Facts]()
    clock = Clock()
    shown = Progress(events.append, clock)
    shown.begin(bytes=100_000_000)
    clock.now += 100
    for _ in range(20):
        clock.now += 1
        shown.add(2_000_000)
    assert events[-1] == {
        "event": "progress", "done_bytes": 40_000_000, "total_bytes": 100_000_000, "bytes_per_second": 2_000_000,
        "seconds_left": 30,
    }  # fmt: skip


def test_a_terminal_shows_one_line_that_changes() -> None:
    """With how much, how fast and how long."""
    terminal = Terminal()
    arrive(progress.lines(terminal))
    assert "\n" not in terminal.getvalue()
    assert terminal.getvalue().split("\r")[-2].rstrip() == "40.0 MB of 100.0 MB, 2.0 MB/s, 30 s left"


def test_a_file_gets_no_line_in_the_first_half_minute() -> None:
    """And one each half a minute after that, so a log of a night stays short."""
    file = io.StringIO()
    arrive(progress.lines(file))
    assert file.getvalue() == ""


def test_a_program_gets_an_object_a_line() -> None:
    """And what arrived damaged is an event at any time."""
    stream = io.StringIO()
    told = progress.events(stream)
    arrive(told)
    Progress(told).lost(5, "a.bin: bytes 0 to 5 arrived damaged")
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event["event"] for event in events] == ["begin", "progress", "again"]


def test_an_object_is_written_in_one_piece() -> None:
    """Where nothing is buffered, each piece is a call of the system, and a file's event is one of thousands."""
    written = list[str]()

    class Unbuffered(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

    Progress(progress.events(Unbuffered())).file("a.bin", 5)
    assert written == ['{"event": "file", "path": "a.bin", "size_bytes": 5}\n']


def test_bytes_have_decimal_units() -> None:
    """As disks and networks are sold."""
    assert [bytes_in_words(count) for count in (0, 999, 1000, 1_500_000, 2.5e9, 7.1e13)] == [
        "0 bytes", "999 bytes", "1.0 kB", "1.5 MB", "2.5 GB", "71.0 TB",
    ]  # fmt: skip
