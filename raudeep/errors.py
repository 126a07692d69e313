"""Every error that raudeep raises on purpose.

    RaudeepError
    ├── ConfigError       a parameter or recipe is not usable
    ├── ManifestError     a corpus or its manifest is not usable
    ├── AudioError        one recording is not usable (becomes a row of the errors table)
    ├── TableError        a table on storage is missing, broken or of another configuration
    ├── FusionError       embeddings cannot be joined
    ├── EvaluationError   embeddings cannot be scored
    └── ResourceError     the cluster cannot carry what was asked for

Each takes one string, so that it survives pickling between Ray processes. Messages are one line:
the rule, the value, where it came from, the way out. They show no credentials of URIs.
"""

from raudeep.credentials import public_text

__all__ = [
    "AudioError",
    "ConfigError",
    "EvaluationError",
    "FusionError",
    "ManifestError",
    "RaudeepError",
    "ResourceError",
    "TableError",
    "error_for_user",
]

_OUT_OF_MEMORY = ("can't allocate memory", "out of memory")  # PyTorch says so


class RaudeepError(Exception):
    """Root of all errors that a user can act on."""

    def __init__(self, message: str = "") -> None:
        super().__init__(public_text(message))


class ConfigError(RaudeepError):
    """A parameter or a recipe is not usable."""


class ManifestError(RaudeepError):
    """A corpus or its manifest is not usable."""


class AudioError(RaudeepError):
    """One recording is not usable."""


class TableError(RaudeepError):
    """A table on storage is missing, broken, or was made with another configuration."""


class FusionError(RaudeepError):
    """Embeddings cannot be joined."""


class EvaluationError(RaudeepError):
    """Embeddings cannot be scored."""


class ResourceError(RaudeepError):
    """The cluster cannot carry what was asked for."""


def error_for_user(error: BaseException) -> RaudeepError | None:
    """Return an error of ours as it is, one that says that memory ran out as ours; else None."""
    if isinstance(error, RaudeepError):
        return error
    said = (str(error).strip().splitlines() or [""])[0]
    if not isinstance(error, MemoryError) and not any(words in said for words in _OUT_OF_MEMORY):
        return None
    return ResourceError(
        f"there is not enough memory: {said.rstrip('.') or type(error).__name__}. Lower what is "
        "large: batch_size, num_units, fixed_seconds, repeats."
    )
