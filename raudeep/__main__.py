"""``python -m raudeep`` is the command ``raudeep``."""

from raudeep.cli import main

main()
