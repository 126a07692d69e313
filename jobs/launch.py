"""What the jobs share: they run where raudeep is not installed, too.

Python puts the folder of a script first on its path, so every job finds this file: in a checkout,
from any working directory, and in the working directory that ``ray job submit`` uploads.
"""

import sys
from pathlib import Path


def run(command: str) -> None:
    """Run a command of raudeep with the flags of the job, and exit with its code."""
    try:
        from raudeep.__main__ import main
    except ModuleNotFoundError as error:
        if error.name != "raudeep":
            raise
        # The raudeep beside this folder, for this process and for those that Ray starts for it.
        sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
        from raudeep.__main__ import main
    main([command, *sys.argv[1:]])
