"""A process that is lost ends the others in moments; one that is done does not."""

import threading
import time

import pytest
from test_roll_call import call_together, free_port, place

from gzjax.cli.processes import peer_watch
from gzjax.cli.processes.peer_watch import PEER_LOST, PeerWatch


class Run:
    """Processes of a run, as threads of this one: what each was ended with."""

    def __init__(self, count):
        address = f"127.0.0.1:{free_port()}"
        places = [place(n, count, address) for n in range(count)]
        self.peers = call_together(*places)
        self.codes = [[] for _ in places]
        self.watches = [
            PeerWatch(*args, end=codes.append)
            for *args, codes in zip(places, self.peers, self.codes, strict=True)
        ]

    def kill(self, number):
        """As the system does it: the connections close."""
        self.codes[number].append("killed")
        self.watches[number]._begin_to_leave()
        for peer in self.peers[number]:
            peer.connection.shutdown(2)

    def wait(self, numbers, seconds=10):
        deadline = time.monotonic() + seconds
        while not all(self.codes[n] for n in numbers):
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def close(self):
        for watch in self.watches:
            watch._begin_to_leave()
            watch._hang_up()


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setattr(peer_watch, "_GRACE_SEC", 0.2)
    monkeypatch.setattr(peer_watch, "_HANG_UP_SEC", 0.3)
    run = Run(3)
    yield run
    run.close()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_killed_process_ends_the_others_with_a_message(number, run, capfd):
    others = {0, 1, 2} - {number}
    run.kill(number)
    run.wait(others)
    assert [run.codes[n] for n in others] == [[PEER_LOST]] * 2
    said = capfd.readouterr().err
    assert said.count(f"process {number} (") == 2
    assert said.count("is gone without a word") == 2
    assert said.count("The same command, for all processes, goes on") == 2


@pytest.mark.parametrize("number", [0, 1])
def test_the_reason_of_a_failure_is_said_by_all(number, run, capfd):
    others = {0, 1, 2} - {number}
    run.watches[number].fail("no space left")
    run.wait(others)
    assert capfd.readouterr().err.count("failed: no space left") == 2
    assert run.codes[number] == []


def test_those_that_leave_together_are_not_missed(run, capfd):
    threads = [threading.Thread(target=watch.leave) for watch in run.watches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    time.sleep(0.1)
    assert run.codes == [[], [], []]
    assert capfd.readouterr().err == ""


def test_one_that_is_done_first_is_not_missed(run):
    run.watches[1].leave()
    time.sleep(0.1)
    assert run.codes == [[], [], []]


def test_what_a_process_fails_of_itself_is_its_own_to_say(run, capfd):
    run.watches[1].fail("bad config")
    for number in (0, 2):  # within the grace
        run.watches[number].await_loss(0.0)
    run.watches[0].fail("bad config")
    time.sleep(0.5)
    assert run.codes == [[], [], []]
