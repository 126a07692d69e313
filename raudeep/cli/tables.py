"""Commands on tables: `raudeep fuse`."""

from typing import Annotated

from cyclopts import Parameter

from raudeep.cli.app import app
from raudeep.cli.parameters import Json, Output, Overwrite, named, print_summary_rows

__all__ = ["fuse"]


@app.command
def fuse(
    tables: Annotated[
        list[str], Parameter(negative="", help="Embedding tables, in the order of their values.")
    ],
    *,
    output: Output,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Join embedding tables by recording and chunk into one table of wider vectors."""
    from raudeep.pipeline.fusing import fuse_tables
    from raudeep.storage.uri import absolute

    summary = fuse_tables(named(tables), absolute(output), overwrite=overwrite)
    print_summary_rows([summary], as_json=as_json)
