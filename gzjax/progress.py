"""Shows progress: a bar on a terminal, a line every few seconds elsewhere."""

import time

import rich.console
import rich.progress

from gzjax.errors import plain

console = rich.console.Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """Prints a line on stderr, above a bar if one is shown."""
    console.print(plain(text), markup=False)


class Progress:
    """Progress through ``total`` items, ``start`` of them done before.

    Use it as a context manager. There are ``every_sec`` seconds between lines if stderr
    is not a terminal. ``before`` says what happens until the first update.
    """

    def __init__(
        self,
        title: str,
        total: int,
        start: int = 0,
        every_sec: float = 10.0,
        before: str = "",
    ):
        self._title, self._total, self._every_sec = title, total, every_sec
        self._last_line, self._text, self._before = time.monotonic(), "", before
        # Items and time of the first update: before it, programs are compiled.
        self._begun: tuple[int, float] | None = None
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}", markup=False),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn("{task.fields[text]}", markup=False),
            rich.progress.TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task(
            plain(title), total=total, completed=start, text=before
        )

    def update(
        self, done: int, text: str | None = None, total: int | None = None
    ) -> None:
        """Shows ``done`` items; a new text or total replaces the old one."""
        self._total = total or self._total
        self._text = text = self._text if text is None else text
        self._bar.update(self._task, completed=done, total=self._total, text=text)
        now = time.monotonic()
        self._begun = self._begun or (done, now)
        if console.is_terminal or now - self._last_line < self._every_sec:
            return
        self._last_line = now
        begun_at, begun = self._begun
        parts = [f"{self._title} {done}/{self._total}", text]
        if done > begun_at:
            left = (self._total - done) * (now - begun) / (done - begun_at)
            parts.append(f"{left:.0f} s left")
        say("  ".join(part for part in parts if part))

    def __enter__(self):
        self._bar.start()
        if self._before and not console.is_terminal:
            say(f"{self._title}: {self._before}")
        return self

    def __exit__(self, *_):
        self._bar.stop()
