"""Notices within moments that another process of the run is lost, and leaves too.

What is computed together waits for all: on a GPU the others would hang for minutes, and
then end without a word of what it means. JAX's own heartbeat stays behind this one.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence

from gzjax.cli.processes.peer import Peer
from gzjax.cli.processes.place import Place
from gzjax.errors import plain

# Exit code: another process is lost; the same command goes on (EX_TEMPFAIL).
PEER_LOST = 75
_GRACE_SEC = 3.0  # for what fails in all processes to be said by each
_HANG_UP_SEC = 5.0


class PeerWatch:
    """Watches the connections of :func:`gzjax.cli.processes.roll_call.call_roll`.

    Args:
        place: of this process.
        peers: of this process: all others for process 0, for these process 0.
        end: ends the process with a code, from any thread.

    Attributes:
        place: as given.
    """

    def __init__(
        self,
        place: Place,
        peers: Sequence[Peer],
        end: Callable[[int], None] = os._exit,
    ):
        self.place, self._peers, self._end_process = place, peers, end
        self._lock, self._leaving = threading.Lock(), False
        self._threads = []
        for peer in peers:
            peer.connection.settimeout(None)
            thread = threading.Thread(target=self._hear, args=(peer,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def leave(self) -> None:
        """To be called when all is done, in all processes."""
        self._begin_to_leave()
        for peer in self._peers:
            peer.send(goodbye=True)
        self._hang_up()

    def await_loss(self, seconds: float) -> None:
        """Returns if no other process is lost within a time; else does not return.

        For errors that may only follow from such a loss.
        """
        time.sleep(seconds)
        if not self._begin_to_leave():
            time.sleep(2 * _HANG_UP_SEC)  # this process is being ended

    def fail(self, reason: str) -> None:
        """Tells the others that this process cannot go on; they leave within seconds.

        To be called after :meth:`await_loss`. Waits for them, if they would otherwise
        see process 0 end without a word.
        """
        self._begin_to_leave()
        for peer in self._peers:
            peer.send(failed=reason)
        if self.place.process_id == 0:
            self._wait_for_hang_ups(_GRACE_SEC + _HANG_UP_SEC)
        self._hang_up()

    def _hear(self, peer):
        while message := peer.receive():
            if "goodbye" in message:
                return
            if "lost" in message:
                self._lose(str(message["lost"]))
            if "failed" in message:
                time.sleep(_GRACE_SEC)
                self._lose(f"{_name(peer)} failed: {message['failed']}")
        self._lose(
            f"{_name(peer)} is gone without a word: killed, out of memory, or its "
            "machine or the network is down"
        )

    def _lose(self, text):
        if not self._begin_to_leave():
            return
        print(
            f"gzjax: process {self.place.process_id} of {self.place.num_processes}: "
            f"{plain(text)}\nThis process leaves too. The same command, for all "
            "processes, goes on from the newest checkpoint",
            file=sys.stderr, flush=True,
        )  # fmt: skip
        if self.place.process_id == 0:
            for peer in self._peers:
                peer.send(lost=text)
            # Without process 0, JAX ends the others in the middle of their message.
            self._wait_for_hang_ups(_HANG_UP_SEC)
        self._end_process(PEER_LOST)

    def _begin_to_leave(self):
        """Whether nobody else in this process has begun."""
        with self._lock:
            first, self._leaving = not self._leaving, True
        return first

    def _wait_for_hang_ups(self, seconds):
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(deadline - time.monotonic(), 0))

    def _hang_up(self):
        for peer in self._peers:
            peer.close()


def _name(peer):
    return f"process {peer.process_id} ({peer.name})"
