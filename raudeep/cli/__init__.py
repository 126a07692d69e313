"""The command line: each command parses and calls one function of the pipeline.

Flags are the fields of the configuration dataclasses. Results go to stdout, everything else to
stderr. Exit codes: 0 done, 1 an error that a line explains, 2 wrong usage, 130 interrupted,
143 terminated.
"""

# Each adds its commands.
from raudeep.cli import (
    audio,
    baselines,
    benchmark,
    evaluation,
    exchange,
    looking,
    models,
    tables,
    tuning,
)
from raudeep.cli.app import app, main
from raudeep.cli.arrangement import arrange

arrange(app)

__all__ = [
    "app",
    "audio",
    "baselines",
    "benchmark",
    "evaluation",
    "exchange",
    "looking",
    "main",
    "models",
    "tables",
    "tuning",
]
