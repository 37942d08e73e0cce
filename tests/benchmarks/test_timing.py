"""Wall time, CPU time and what others took are told apart; tables are Markdown."""

import os
import time

import numpy as np
import pytest
import timing


def test_cpu_time_is_that_of_work_and_not_of_waiting():
    def work():
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass

    programs = {"works": work, "waits": lambda: time.sleep(0.05)}
    timed = timing.interleave(programs, rounds=4)
    for found in timed.values():
        assert all(found.wall >= 0.049)
    assert all(timed["works"].cpu >= 0.05)
    assert np.median(timed["waits"].cpu) < 0.02
    assert timing.summary(timed["works"])["cpu_ms"] >= 50
    both = timing.ratios(timed["works"], timed["waits"])
    assert both["cpu"] > 2.5
    assert both["wall"] < both["cpu"]


@pytest.mark.parametrize(("busy", "share"), [(3.0, 0.5), (0.9, 0.0), (np.nan, None)])
def test_others_took_what_was_busy_and_not_ours(busy, share, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    timed = timing.Timed(*(np.array([x]) for x in (1.0, 1.0, busy)))
    assert timed.others() == share


def test_table_is_markdown():
    text = timing.table(["", "ms"], [["p4m", 1234.5], ["p4", None]])
    assert text.splitlines() == [
        "|     |   ms |",
        "| --- | ---: |",
        "| p4m | 1234 |",
        "| p4  |    - |",
    ]
