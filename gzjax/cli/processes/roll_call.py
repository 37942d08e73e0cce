"""A line between the processes of a run: who is there at the start, who is lost later.

JAX ends a process without a word of its own language where another cannot be reached,
and begins where their numbers disagree. So they call the roll first, on the same port;
and the connections stay open, since a process that is killed closes them at once.
"""

import os
import socket
import time

from gzjax.cli.processes.peer import HELLO_SEC, Peer, open_peer
from gzjax.cli.processes.place import Place, split_address
from gzjax.errors import UserError

_RETRY_SEC = 0.2


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
    connection, address = _accept(listener, place, peers, deadline, timeout_sec)
    peer = open_peer(0, address[0], connection)
    left = deadline - time.monotonic()
    hello = peer.receive_hello(min(max(left, 0.0), HELLO_SEC)) or {}
    number, count = hello.get("process_id"), hello.get("num_processes")
    if type(number) is not int or type(count) is not int or not 0 < number < count:
        peer.close()
        return
    peer = peer._replace(process_id=number, name=str(hello.get("name")))
    if number in peers and peers[number].is_gone():  # it was started anew
        peers.pop(number).close()
    if problem := _find_problem(place, peers, peer, count):
        peer.send(refused=problem)
        peer.close()
        raise UserError(problem)
    peers[number] = peer


def _accept(listener, place, peers, deadline, timeout_sec):
    try:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        listener.settimeout(left)
        return listener.accept()
    except TimeoutError as error:
        absent = sorted(set(range(1, place.num_processes)) - set(peers))
        raise UserError(
            f"waited {timeout_sec:g} s for {place.num_processes} processes; missing: "
            f"{_few(absent)}\nWhat to do: start as many as --num_processes says, each "
            f"with its --process_id, where they reach {place.coordinator}; "
            "GZJAX_INIT_TIMEOUT_SEC waits longer"
        ) from error


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
    while True:
        peer = open_peer(0, place.coordinator, _connect(place, deadline, timeout_sec))
        # Process 0 may have begun to wait later, and is the one to say who is missing.
        peer.connection.settimeout(timeout_sec + HELLO_SEC)
        peer.send(
            process_id=place.process_id,
            num_processes=place.num_processes,
            name=_own_name(),
        )
        answer = peer.receive() or {}
        if "welcome" in answer:
            peer.connection.settimeout(None)
            return peer
        peer.close()
        if "refused" in answer:
            raise UserError(str(answer["refused"]))
        # It may be process 0 of the run before, which is about to leave.
        if deadline - time.monotonic() < _RETRY_SEC:
            raise UserError(
                f"what answers at {place.coordinator} is no process 0 that is "
                "starting: another run, another program, or it has ended\n"
                "What to do: start all processes anew, with another port if need be"
            )
        time.sleep(_RETRY_SEC)


def _connect(place, deadline, timeout_sec):
    while True:
        left = deadline - time.monotonic()
        try:
            return socket.create_connection(
                split_address(place.coordinator), max(min(left, HELLO_SEC), 1e-3)
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


def _own_name():
    return f"{socket.gethostname()}, pid {os.getpid()}"


def _few(numbers, most=8):
    more = f" and {len(numbers) - most} more" if len(numbers) > most else ""
    return ", ".join(map(str, numbers[:most])) + more
