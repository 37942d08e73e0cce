"""Scalars to ``metrics.jsonl`` and TensorBoard."""

import json
from pathlib import Path

import tensorboardX

from gzjax import workdir as layout


class MetricWriter:
    """Appends scalars; what an interrupted run wrote beyond ``step`` is dropped first.

    Args:
        workdir: the run's folder.
        step: the step at which the run starts or resumes.
        enabled: False: writes nothing (all processes but one).
    """

    def __init__(self, workdir: Path, step: int, enabled: bool = True):
        self._enabled = enabled
        if not enabled:
            return
        path = Path(workdir) / layout.METRICS
        if path.exists():
            layout.write_text(path, "".join(_lines_until(path, step)))
        self._file = path.open("a", encoding="utf-8")
        self._board = tensorboardX.SummaryWriter(
            str(Path(workdir) / layout.TENSORBOARD), purge_step=step + 1
        )

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """One line, flushed."""
        if not self._enabled:
            return
        line = json.dumps({"step": step, **scalars}, allow_nan=False)
        self._file.write(line + "\n")
        self._file.flush()
        for name, value in scalars.items():
            self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Flushes and closes both."""
        if self._enabled:
            self._file.close()
            self._board.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _lines_until(path, step):
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            if json.loads(line)["step"] <= step:
                yield line
        except (json.JSONDecodeError, KeyError):
            return  # the line that a kill cut short
