"""Processes that do not come, or do not agree, are named in seconds."""

import contextlib
import json
import socket
import threading
import time

import pytest

from gzjax.cli.processes import roll_call
from gzjax.cli.processes.place import Place
from gzjax.cli.processes.roll_call import call_roll
from gzjax.errors import UserError


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def call_together(*places, timeout_sec=10.0):
    """What each gets, or the error it raises."""
    results = [None] * len(places)

    def call(n, place):
        try:
            results[n] = call_roll(place, timeout_sec)
        except UserError as error:
            results[n] = error

    threads = [threading.Thread(target=call, args=item) for item in enumerate(places)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return results


@contextlib.contextmanager
def closing(*results):
    try:
        yield
    finally:
        for peers in results:
            for peer in peers if isinstance(peers, list) else ():
                peer.close()


@pytest.fixture
def address():
    return f"127.0.0.1:{free_port()}"


def port_of(address):
    return int(address.partition(":")[2])


def place(number, count, address):
    return Place("", count, number, address, None)


def test_all_are_there_in_whatever_order(address):
    results = call_together(*(place(n, 3, address) for n in (2, 0, 1)))
    with closing(*results):
        of_two, of_zero, of_one = results
        assert {peer.process_id for peer in of_zero} == {1, 2}
        assert [peer.process_id for peer in of_two + of_one] == [0, 0]


def test_a_connection_stays_open_and_the_port_is_free(address):
    results = call_together(place(0, 2, address), place(1, 2, address))
    with closing(*results):
        ((one,), (zero,)) = results
        # JAX's service listens there next.
        socket.create_server(("127.0.0.1", port_of(address))).close()
        zero.send(word="hello")
        assert one.receive() == {"word": "hello"}
        zero.send(reason="🌀" * 10**6)
        assert one.receive()["reason"].startswith("🌀🌀")
        zero.close()
        assert one.receive() is None


def test_the_missing_are_named(address):
    zero, one = call_together(
        place(0, 4, address), place(1, 4, address), timeout_sec=1.0
    )
    assert "waited 1 s for 4 processes; missing: 2, 3" in str(zero)
    assert str(one) == str(zero)


def test_counts_that_disagree_are_named(address):
    for error in call_together(place(0, 2, address), place(1, 3, address)):
        assert "there are 2 processes, and process 1" in str(error)
        assert "that there are 3" in str(error)


def test_two_processes_with_one_id_are_named(address):
    for error in call_together(*(place(n, 4, address) for n in (0, 1, 1))):
        assert "two processes have the id 1: " in str(error)


def test_an_unreachable_coordinator_is_named(address):
    with pytest.raises(UserError, match=f"cannot reach process 0 at {address} within"):
        call_roll(place(1, 2, address), 1.0)
    with pytest.raises(UserError, match=r"at nowhere\.invalid:1 within 1 s"):
        call_roll(place(1, 2, "nowhere.invalid:1"), 1.0)


def test_a_port_that_is_taken_is_named(address):
    port = port_of(address)
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(UserError, match=f"cannot listen on port {port}"),
    ):
        call_roll(place(0, 2, address), 5.0)


def answer_others(server, count):
    """Says to ``count`` callers what no process 0 says."""
    for _ in range(count):
        connection, _ = server.accept()
        with connection:
            connection.recv(1 << 14)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def test_another_program_at_the_address_is_no_process(address, monkeypatch):
    monkeypatch.setattr(roll_call, "_RETRY_SEC", 0.6)
    with socket.create_server(("127.0.0.1", port_of(address))) as server:
        thread = threading.Thread(target=answer_others, args=(server, 2))
        thread.start()
        with pytest.raises(UserError, match="is no process 0 that is starting"):
            call_roll(place(1, 2, address), 1.0)
        thread.join(10)


def test_one_that_leaves_the_port_soon_is_waited_for(address):
    server = socket.create_server(("127.0.0.1", port_of(address)))
    results = []

    def join():
        results.append(call_roll(place(1, 2, address), 10.0))

    thread = threading.Thread(target=join)
    thread.start()
    with server:
        answer_others(server, 2)
    (zero,) = call_together(place(0, 2, address))
    thread.join(10)
    with closing(zero, *results):
        assert [peer.process_id for peer in zero] == [1]
        assert [peer.process_id for peer in results[0]] == [0]


def connect(address):
    """As soon as process 0 is there."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port_of(address)))
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def say_hello(address, **hello):
    connection = connect(address)
    connection.sendall(json.dumps(hello).encode() + b"\n")
    return connection


def test_one_that_died_and_came_again_is_no_double(address):
    def live():
        say_hello(address, process_id=1, num_processes=3).close()
        said.extend(say_hello(address, process_id=n, num_processes=3) for n in (1, 2))

    said = []
    thread = threading.Thread(target=live)
    thread.start()
    (zero,) = call_together(place(0, 3, address))
    thread.join(10)
    with closing(zero), said[0], said[1]:
        assert sorted(peer.process_id for peer in zero) == [1, 2]
        for connection in said:
            assert json.loads(connection.recv(100)) == {"welcome": 3}


def test_one_whose_number_cannot_be_is_a_stranger(address):
    numbers = [True, 0, -1, 2, 1.0, "1", None, 1]

    def call():
        said.extend(say_hello(address, process_id=n, num_processes=2) for n in numbers)

    said = []
    thread = threading.Thread(target=call)
    thread.start()
    (zero,) = call_together(place(0, 2, address))
    thread.join(10)
    with closing(zero):
        assert [type(peer.process_id) for peer in zero] == [int]
        *strangers, one = said
        assert [stranger.recv(100) for stranger in strangers] == [b""] * len(strangers)
        assert json.loads(one.recv(100)) == {"welcome": 2}
        for connection in said:
            connection.close()


def test_a_stranger_who_speaks_slowly_delays_nothing(address):
    def drip():
        with contextlib.suppress(OSError), connect(address) as connection:
            for _ in range(100):
                connection.sendall(b"{")
                time.sleep(0.1)

    thread = threading.Thread(target=drip)
    thread.start()
    begun = time.monotonic()
    (zero,) = call_together(place(0, 2, address), timeout_sec=1.0)
    assert time.monotonic() - begun < 5
    thread.join(20)
    assert "missing: 1" in str(zero)


def test_strangers_are_not_counted(address):
    def knock():
        host, _, port = address.partition(":")
        for _ in range(100):
            with (
                contextlib.suppress(OSError),
                socket.create_connection((host, port)) as s,
            ):
                s.sendall(b"GET / HTTP/1.1\r\n\r\n")
                return
            threading.Event().wait(0.02)

    thread = threading.Thread(target=knock)
    thread.start()
    (zero,) = call_together(place(0, 2, address), timeout_sec=1.5)
    thread.join(10)
    assert "missing: 1" in str(zero)
