"""A terminal of our own, and what a person would see on it."""

from __future__ import annotations

import os
import pty
import re
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

_TOKENS = re.compile(r"\x1b\[(\??[\d;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")


@dataclass
class Terminal:
    """Its `stream` is one for programs; `written` is all that they wrote."""

    stream: TextIO
    columns: int
    _bytes: bytearray = field(default_factory=bytearray)

    @property
    def written(self) -> str:
        return self._bytes.decode()

    @property
    def colours(self) -> set[str]:
        """The codes that change a colour: 30 to 49 and 90 to 107."""
        codes = re.findall(r"\x1b\[([\d;]*)m", self.written)
        numbers = {number for code in codes for number in code.split(";") if number}
        return {number for number in numbers if 30 <= int(number) < 50 or 90 <= int(number) < 108}

    @property
    def cursor_is_hidden(self) -> bool:
        return self.written.rfind("\x1b[?25l") > self.written.rfind("\x1b[?25h")

    def lines(self) -> list[str]:
        """What stands on it, without the empty lines at its end; what is unknown is an error."""
        screen, row, column = [""], 0, 0
        for found in _TOKENS.finditer(self.written):
            argument, command, move, text = found.groups()
            if move == "\r":
                column = 0
            elif move == "\n":
                row, column = row + 1, 0
                screen += [""] * (row + 1 - len(screen))
            elif text:
                for sign in text:
                    if column == self.columns:
                        row, column = row + 1, 0
                        screen += [""] * (row + 1 - len(screen))
                    screen[row] = (
                        screen[row][:column].ljust(column) + sign + screen[row][column + 1 :]
                    )
                    column += 1
            elif command == "A":
                row -= int(argument or 1)
            elif (argument, command) == ("2", "K"):
                screen[row] = ""
            else:
                assert command in "mhl", f"{argument}{command} is none that is used here"
        return [line.rstrip() for line in "\n".join(screen).rstrip().split("\n")]


@contextmanager
def terminal(columns: int) -> Iterator[Terminal]:
    """A terminal so wide; programs that look for its width find it in COLUMNS."""
    reader, writer = pty.openpty()
    attributes = termios.tcgetattr(writer)
    attributes[1] &= ~termios.OPOST  # newlines arrive as they were written
    termios.tcsetattr(writer, termios.TCSANOW, attributes)
    with os.fdopen(writer, "w") as stream:
        ours = Terminal(stream, columns)

        def read() -> None:
            try:
                while data := os.read(reader, 65536):
                    ours._bytes += data
            except OSError:  # so Linux says that the other side is closed
                pass

        thread = threading.Thread(target=read)
        thread.start()
        try:
            yield ours
        finally:
            stream.close()
            thread.join()
            os.close(reader)
