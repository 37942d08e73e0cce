"""Processes that do not come, or do not agree, are named in seconds."""

import contextlib
import socket
import threading

import pytest

from gzjax.errors import UserError
from gzjax.launched import Place
from gzjax.roll_call import call_roll


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
        port = int(address.partition(":")[2])
        socket.create_server(("127.0.0.1", port)).close()
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
    port = int(address.partition(":")[2])
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(UserError, match=f"cannot listen on port {port}"),
    ):
        call_roll(place(0, 2, address), 5.0)


def test_another_program_at_the_address_is_no_process(address):
    port = int(address.partition(":")[2])
    with socket.create_server(("127.0.0.1", port)) as server:

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(UserError, match="is no process 0 that is starting"):
            call_roll(place(1, 2, address), 5.0)
        thread.join(10)


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
