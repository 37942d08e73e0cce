"""A line between the processes of a run: who is there at the start, who is lost later.

JAX ends a process without a word of its own language where another cannot be reached,
and begins where their numbers disagree. So they call the roll first, on the same port;
and the connections stay open, since a process that is killed closes them at once.
"""

import contextlib
import json
import os
import socket
import time
from typing import IO, NamedTuple

from gzjax.errors import UserError
from gzjax.launched import Place, split_address

_RETRY_SEC, _HELLO_SEC = 0.2, 5.0
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
            message = json.loads(self.lines.readline(_MAX_LINE) or "null")
        except (OSError, ValueError, RecursionError):
            return None
        return message if isinstance(message, dict) else None

    def close(self) -> None:
        """Hangs up."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.lines.close()
        self.connection.close()


def call_roll(place: Place, timeout_sec: float) -> list[Peer]:
    """Waits until all processes of the run are there.

    Returns:
        For process 0 all the others; for these process 0.

    Raises:
        UserError: some did not come in time, or they do not agree who is who.
    """
    deadline = time.monotonic() + timeout_sec
    if place.process_id:
        return [_join(place, deadline, timeout_sec)]
    peers: dict[int, Peer] = {}
    with _listen(place) as listener:
        try:
            while len(peers) < place.num_processes - 1:
                _admit(listener, place, peers, deadline, timeout_sec)
        except UserError as error:
            for peer in peers.values():
                peer.send(refused=str(error))
                peer.close()
            raise
    for peer in peers.values():
        peer.send(welcome=place.num_processes)
    return list(peers.values())


def _listen(place):
    _, port = split_address(place.coordinator)
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    try:
        return socket.create_server(
            ("", port), family=family, dualstack_ipv6=dual, backlog=1024
        )
    except OSError as error:
        raise UserError(
            f"process 0 cannot listen on port {port} ({error.strerror})\n"
            "What to do: give all processes another --coordinator=HOST:PORT"
        ) from error


def _admit(listener, place, peers, deadline, timeout_sec):
    """Adds one process to ``peers``, or nobody if a stranger called."""
    listener.settimeout(max(deadline - time.monotonic(), 1e-3))
    try:
        connection, address = listener.accept()
    except TimeoutError as error:
        absent = sorted(set(range(1, place.num_processes)) - set(peers))
        raise UserError(
            f"waited {timeout_sec:g} s for {place.num_processes} processes; missing: "
            f"{_few(absent)}\nWhat to do: start as many as --num_processes says, each "
            f"with its --process_id, where they reach {place.coordinator}; "
            "GZJAX_INIT_TIMEOUT_SEC waits longer"
        ) from error
    peer = _open(0, address[0], connection)
    hello = peer.receive() or {}
    number, count = hello.get("process_id"), hello.get("num_processes")
    if not isinstance(number, int) or not isinstance(count, int):
        peer.close()
        return
    peer = peer._replace(process_id=number, name=str(hello.get("name")))
    if problem := _find_problem(place, peers, peer, count):
        peer.send(refused=problem)
        peer.close()
        raise UserError(problem)
    peers[number] = peer


def _find_problem(place, peers, peer, count):
    if count != place.num_processes:
        return (
            f"process 0 was told that there are {place.num_processes} processes, and "
            f"process {peer.process_id} ({peer.name}) that there are {count}\n"
            "What to do: give all the same --num_processes"
        )
    if other := peers.get(peer.process_id):
        return (
            f"two processes have the id {other.process_id}: {other.name} and "
            f"{peer.name}\n"
            "What to do: give each its own --process_id"
        )
    return None


def _join(place, deadline, timeout_sec):
    peer = _open(0, place.coordinator, _connect(place, deadline, timeout_sec))
    # Process 0 may have begun to wait later, and is the one to say who is missing.
    peer.connection.settimeout(timeout_sec + _HELLO_SEC)
    peer.send(
        process_id=place.process_id,
        num_processes=place.num_processes,
        name=_own_name(),
    )
    answer = peer.receive()
    if answer and "welcome" in answer:
        peer.connection.settimeout(None)
        return peer
    peer.close()
    if answer and "refused" in answer:
        raise UserError(str(answer["refused"]))
    raise UserError(
        f"what answers at {place.coordinator} is no process 0 that is starting: "
        "another run, another program, or it has ended\n"
        "What to do: start all processes anew, with another port if need be"
    )


def _connect(place, deadline, timeout_sec):
    while True:
        left = deadline - time.monotonic()
        try:
            return socket.create_connection(
                split_address(place.coordinator), max(min(left, _HELLO_SEC), 1e-3)
            )
        except OSError as error:
            if left < _RETRY_SEC:
                raise UserError(
                    f"process {place.process_id} cannot reach process 0 at "
                    f"{place.coordinator} within {timeout_sec:g} s ({error})\n"
                    "What to do: see that process 0 is started, on that host, and that "
                    "no firewall is between; GZJAX_INIT_TIMEOUT_SEC waits longer"
                ) from error
            time.sleep(_RETRY_SEC)


def _open(process_id, name, connection):
    # A machine that is switched off closes nothing: noticed in a minute.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("IDLE", 30), ("INTVL", 10), ("CNT", 3)):
        if hasattr(socket, f"TCP_KEEP{option}"):
            option = getattr(socket, f"TCP_KEEP{option}")
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
    connection.settimeout(_HELLO_SEC)
    lines = connection.makefile("r", encoding="utf-8", errors="replace")
    return Peer(process_id, name, connection, lines)


def _own_name():
    return f"{socket.gethostname()}, pid {os.getpid()}"


def _few(numbers, most=8):
    more = f" and {len(numbers) - most} more" if len(numbers) > most else ""
    return ", ".join(map(str, numbers[:most])) + more
