"""What a process holds is read right, and changes as it should."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.processes import MIB, sums, usage

HOLDING = """
import sys, threading
print(flush=True)
sys.stdin.readline()
held = bytearray(b"x") * (64 << 20)
files = [open("/dev/null") for _ in range(50)]
threading.Thread(target=threading.Event().wait, daemon=True).start()
print(flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def child() -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", HOLDING],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def test_memory_files_and_threads_of_another_process(child: "subprocess.Popen[str]") -> None:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdout.readline()
    before = usage(child.pid)
    child.stdin.write("\n")
    child.stdin.flush()
    child.stdout.readline()
    after = usage(child.pid)
    assert before is not None
    assert after is not None
    assert 63 < after.anonymous_mib - before.anonymous_mib < 70
    assert after.rss_bytes > after.anonymous_bytes > 64 * MIB
    assert after.descriptors - before.descriptors == 50
    assert after.threads - before.threads == 1


def test_one_that_has_ended_holds_nothing(child: "subprocess.Popen[str]") -> None:
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert usage(child.pid) is None  # a zombie
    child.wait()
    assert usage(child.pid) is None


def test_a_metric_is_the_sum_over_its_labels() -> None:
    text = "\n".join(
        [
            "# HELP assistant_consumer_lag_records Records that are not finished.",
            "# TYPE assistant_consumer_lag_records gauge",
            'assistant_consumer_lag_records{partition="0",topic="a b"} 3.0',
            'assistant_consumer_lag_records{partition="1",topic="a b"} 4.0',
            "assistant_tasks 17.0",
            "process_start_time_seconds 1.7e+09",
        ]
    )
    assert sums(text) == {
        "assistant_consumer_lag_records": 7.0,
        "assistant_tasks": 17.0,
        "process_start_time_seconds": 1.7e9,
    }
