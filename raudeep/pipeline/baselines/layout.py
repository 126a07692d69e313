"""The output of a baseline, and how it is told from other folders."""

import re

from raudeep.storage.opening import holds_table
from raudeep.storage.outputs import Kind

__all__ = ["BASELINE"]

_TABLES = re.compile("spectrograms|frames|embeddings|predictions")

BASELINE = Kind("baseline", is_there=lambda uri: holds_table(uri, _TABLES))
