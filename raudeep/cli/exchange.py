"""Commands that pass tables to other programs and back: `raudeep export` and `raudeep import`."""

from typing import Annotated

from cyclopts import Parameter

from raudeep.cli.app import app
from raudeep.cli.parameters import Flat, Json, Output, Overwrite, print_summary_rows
from raudeep.config import ExchangeFormat, ExportConfig, ImportConfig

__all__ = ["export", "import_"]


Format = Annotated[ExchangeFormat, Parameter(help="Format of auDeep's files.")]


@app.command
def export(
    format: Format,
    /,
    table: Annotated[str, Parameter(help="Table of embeddings or spectrograms.")],
    *,
    output: Annotated[
        str,
        Parameter(
            help="Folder for CSV and ARFF, or a file *.csv or *.arff for a table that has neither "
            "partitions nor folds; a file *.nc for netCDF."
        ),
    ],
    settings: Annotated[ExportConfig | None, Flat] = None,
    overwrite: Annotated[
        bool, Parameter(negative="", help="Replace an earlier export of the same name.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a table as auDeep's CSV, ARFF (for Weka) or netCDF files.

    CSV and ARFF files lie in folders of partitions and folds: OUTPUT/train/fold_1/NAME.csv. Only
    a table that has neither can be one file.
    """
    from raudeep.pipeline.tables.exporting import export_table
    from raudeep.storage.uri import absolute

    summary = export_table(
        absolute(table), absolute(output), format=format, config=settings, overwrite=overwrite
    )
    print_summary_rows([summary], as_json=as_json)


@app.command(name="import")
def import_(
    format: Format,
    /,
    source: Annotated[str, Parameter(help="A file, or a folder of CSV or ARFF files.")],
    *,
    output: Output,
    settings: Annotated[ImportConfig | None, Flat] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Make a table from auDeep's CSV, ARFF or netCDF files."""
    from raudeep.pipeline.tables.importing import import_table
    from raudeep.storage.uri import absolute

    summary = import_table(
        absolute(source), absolute(output), format=format, config=settings, overwrite=overwrite
    )
    print_summary_rows([summary], as_json=as_json)
