"""A line to another process of a run, of JSON objects."""

import contextlib
import json
import socket
import time
from typing import IO, NamedTuple

HELLO_SEC = 5.0
_MAX_CHARS, _MAX_LINE = 1000, 1 << 14  # of a text, and of the JSON that holds it


class Peer(NamedTuple):
    """The other end of a connection."""

    process_id: int
    name: str  # for people
    connection: socket.socket
    lines: IO[str]

    def send(self, **message) -> None:
        """Tells it numbers and the beginnings of texts, if it is still there."""
        short = {k: v[:_MAX_CHARS] if isinstance(v, str) else v
                 for k, v in message.items()}  # fmt: skip
        with contextlib.suppress(OSError):
            self.connection.sendall(json.dumps(short).encode() + b"\n")

    def receive(self) -> dict | None:
        """What it says next; None: it has gone, or is none of us."""
        try:
            return _parse(self.lines.readline(_MAX_LINE))
        except (OSError, ValueError):  # the latter: closed by another thread
            return None

    def receive_hello(self, seconds: float) -> dict | None:
        """The first that it says, and all of it so far, however slowly it speaks."""
        try:
            return _parse(_read_line(self.connection, time.monotonic() + seconds))
        except OSError:
            return None
        finally:
            self.connection.settimeout(HELLO_SEC)

    def is_gone(self) -> bool:
        """Whether it has hung up, and said nothing before that was not read."""
        timeout = self.connection.gettimeout()
        try:
            self.connection.setblocking(False)
            return not self.connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            self.connection.settimeout(timeout)

    def close(self) -> None:
        """Hangs up."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.lines.close()
        self.connection.close()


def open_peer(process_id: int, name: str, connection: socket.socket) -> Peer:
    """A peer at the other end of a new connection; sends within seconds or not."""
    # A machine that is switched off closes nothing: noticed in a minute.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("IDLE", 30), ("INTVL", 10), ("CNT", 3)):
        if hasattr(socket, f"TCP_KEEP{option}"):
            option = getattr(socket, f"TCP_KEEP{option}")
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
    connection.settimeout(HELLO_SEC)
    lines = connection.makefile("r", encoding="utf-8", errors="replace")
    return Peer(process_id, name, connection, lines)


def _read_line(connection, deadline):
    """Until the end of a line, of what it says, or of the time."""
    said = b""
    while not said.endswith(b"\n") and len(said) < _MAX_LINE:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        connection.settimeout(left)
        part = connection.recv(_MAX_LINE)
        if not part:
            break
        said += part
    return said.decode(errors="replace")


def _parse(line):
    try:
        message = json.loads(line or "null")
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None
