"""The benchmarks, which no other test runs: what they import is there."""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

CODE = """
import runpy, sys, traceback
broken = []
for script in sys.argv[1:]:
    try:
        runpy.run_path(script, run_name="not run")
    except Exception:
        broken.append(script + ": " + traceback.format_exc().splitlines()[-1])
sys.exit("; ".join(broken) or 0)
"""


def test_every_benchmark_finds_what_it_imports():
    scripts = [str(script) for script in sorted(BENCHMARKS.glob("*.py"))]
    assert len(scripts) >= 10
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(BENCHMARKS)!r}){CODE}", *scripts]
    done = subprocess.run(command, capture_output=True, text=True, cwd=BENCHMARKS.parent, check=False)
    assert done.returncode == 0, done.stderr
