"""Output that comes while output is being written neither blocks nor gets lost."""

from __future__ import annotations

from modelport.core.budget import OutputBudget
from modelport.worker.capture import LineWriter


class Echo:
    """A capture that prints in turn, once, as a finaliser may while a line is sent."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.writer: LineWriter | None = None

    def emit(self, level: str, text: str) -> None:
        self.seen.append(text)
        if self.writer is not None:
            writer, self.writer = self.writer, None
            writer.write(b"nested")


def test_a_line_written_while_one_is_emitted_is_kept() -> None:
    echo = Echo()
    writer = LineWriter(echo, "info", 1)  # type: ignore[arg-type]
    echo.writer = writer
    writer.write(b"outer")
    writer.finish_line()
    writer.finish_line()
    assert echo.seen == ["outer", "nested"]


def test_empty_lines_are_not_free() -> None:
    budget = OutputBudget()
    assert not budget.take(64 << 10, 64 << 10)
    assert budget.dropped == 64 << 10
    assert budget.take(1000)
