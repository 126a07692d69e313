"""How tables are exported to other programs and imported from them."""

from dataclasses import dataclass
from typing import Literal

from raudeep.config.fields import check, settle
from raudeep.errors import ConfigError

__all__ = ["ExchangeFormat", "ExportConfig", "ImportConfig"]

ExchangeFormat = Literal["csv", "arff", "netcdf"]


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """How CSV and ARFF are written."""

    name: str | None = None
    """Name of the files, without suffix. Default: the name of the table."""
    labels_last: bool = False
    """Put the columns of the labels after the features."""
    escape_formulas: bool = False
    """CSV: put ' before texts that spreadsheets would run. It stays when read back."""
    times: bool = False
    """Add the columns start and end, the seconds of a chunk; auDeep has none."""

    def __post_init__(self) -> None:
        settle(self)
        check(self, "name", self.name is None or is_file_name(self.name), "a plain file name")


@dataclass(frozen=True, kw_only=True)
class ImportConfig:
    """How CSV and ARFF are read."""

    name: str | None = None
    """Name of the files, without suffix; needed if a folder holds several."""
    filename_attribute: str = "filename"
    """Column with the recording; if it is missing, rows get made-up names."""
    chunk_nr_attribute: str = "chunk_nr"
    """Column with the number of the chunk; if it is missing, every row is chunk 0."""
    label_nominal_attribute: str = "label_nominal"
    """Column with the label."""
    label_numeric_attribute: str = "label_numeric"
    """Column with the number of the label; may be missing."""

    def __post_init__(self) -> None:
        settle(self)
        check(self, "name", self.name is None or is_file_name(self.name), "a plain file name")
        if len(set(self.attributes)) < len(self.attributes):
            raise ConfigError(
                "the four attributes of ImportConfig must differ. Got "
                f"{', '.join(map(repr, self.attributes))}."
            )

    @property
    def attributes(self) -> tuple[str, str, str, str]:
        """Names of the columns that are no features: recording, chunk, label and its number."""
        return (
            self.filename_attribute,
            self.chunk_nr_attribute,
            self.label_nominal_attribute,
            self.label_numeric_attribute,
        )


def is_file_name(name: str) -> bool:
    """Return whether `name` names a visible file in a folder, and nothing outside of it."""
    return bool(name) and not name.startswith(".") and not {"/", "\\", "\0"} & set(name)
