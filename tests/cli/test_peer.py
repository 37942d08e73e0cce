"""What a connection hears, from those who are slow, gone or none of us."""

import socket
import threading
import time

import pytest

from gzjax.cli.processes.peer import open_peer


@pytest.fixture
def line():
    """A peer, and the socket at its other end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        other = socket.create_connection(server.getsockname())
        connection, _ = server.accept()
    peer = open_peer(1, "one", connection)
    with other:
        yield peer, other
    peer.close()


def test_it_is_gone_once_it_hung_up(line):
    peer, other = line
    assert not peer.is_gone()
    other.sendall(b"{}\n")
    assert not peer.is_gone()
    assert peer.receive_hello(5.0) == {}
    other.close()
    time.sleep(0.05)
    assert peer.is_gone()
    assert peer.connection.gettimeout() > 0


def test_it_is_gone_after_it_broke_off(line):
    peer, other = line
    peer.send(word="never read")
    time.sleep(0.05)
    other.close()  # with something unread: the connection is reset
    time.sleep(0.05)
    assert peer.is_gone()


def test_a_hello_in_pieces_is_one(line):
    peer, other = line
    timer = threading.Timer(0.1, other.sendall, (b'": 3}\n',))
    other.sendall(b'{"a')
    timer.start()
    assert peer.receive_hello(5.0) == {"a": 3}
    other.sendall(b'{"next": 1}\n')
    assert peer.receive() == {"next": 1}
    timer.join()


@pytest.mark.parametrize(
    "said", [b"[1]\n", b"{\n", b"\xff\n", b"[" * 5000 + b"\n", b"9" * 5000 + b"\n"]
)
def test_what_is_no_object_is_nothing(said, line):
    peer, other = line
    other.sendall(said + said)
    assert peer.receive_hello(0.5) is None
    other.sendall(said)
    assert peer.receive() is None


def test_a_hello_is_read_no_longer_than_told(line):
    peer, other = line
    done = threading.Event()

    def drip():
        while not done.wait(0.05):
            other.sendall(b"{")

    thread = threading.Thread(target=drip)
    thread.start()
    begun = time.monotonic()
    assert peer.receive_hello(0.5) is None
    assert time.monotonic() - begun < 3
    done.set()
    thread.join()
