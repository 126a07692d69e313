"""Files that others made run no code, end in one line and take no more than 2 GiB.

The cases are few here; `python -m tests.hostile FOLDER --cases 500` tries as many as are wanted.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_hostile_files_run_nothing_and_end_in_a_line(tmp_path):
    command = [sys.executable, "-m", "tests.hostile", str(tmp_path), "--cases", "12"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    last = tmp_path / "last"
    case = last.read_text() if last.exists() else "the good files"
    assert done.returncode == 0, f"{case}: {done.stderr[-2000:]}"
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["failures"] == []
    assert all(each["cases"] == 12 for each in result["counts"].values())
