"""How the work on image files is spread over processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from panodiff import launch


def square(number: int) -> int:
    return number * number


def test_results_come_in_the_order_of_the_items_from_one_process_and_from_several(monkeypatch: pytest.MonkeyPatch):
    items = list(range(-20, 21))
    expected = [number * number for number in items]
    monkeypatch.setenv("PANODIFF_WORKERS", "1")
    assert list(launch.spread(square, items)) == expected
    monkeypatch.setenv("PANODIFF_WORKERS", "2")
    assert list(launch.spread(square, items)) == expected
    monkeypatch.setattr(launch, "ALONE_S", 0)
    assert list(launch.spread(square, items)) == expected
    assert list(launch.spread(square, [])) == []


def test_short_work_starts_no_process_and_long_work_does(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PANODIFF_WORKERS", "2")
    assert set(launch.spread(own_process, range(30))) == {os.getpid()}
    monkeypatch.setattr(launch, "ALONE_S", 0.05)
    processes = list(launch.spread(own_process_after_a_while, range(12)))
    assert processes[0] == os.getpid()
    assert processes[-1] != os.getpid()


def own_process(_: int) -> int:
    return os.getpid()


def own_process_after_a_while(_: int) -> int:
    time.sleep(0.03)
    return os.getpid()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")
def test_workers_end_with_the_process_that_started_them(tmp_path: Path):
    (tmp_path / "pool.py").write_text(
        "import os, time\n"
        "from panodiff import launch\n"
        "def work(number):\n"
        "    time.sleep(0.05)\n"
        "    return os.getpid()\n"
        "if __name__ == '__main__':\n"
        "    launch.ALONE_S = 0\n"
        "    for process in launch.spread(work, range(1000)):\n"
        "        print(process, flush=True)\n"
    )
    environment = os.environ | {"PANODIFF_WORKERS": "2", "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, str(tmp_path / "pool.py")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as parent:
        assert parent.stdout
        worker = int(parent.stdout.readline())
        assert worker != parent.pid
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while is_running(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(worker)


def is_running(process: int) -> bool:
    """Whether there is such a process, and it is more than an entry that nobody has asked for."""
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
