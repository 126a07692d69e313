"""The pictures of a sweep, beside its results."""

from raudeep.errors import TableError
from raudeep.foreign import parse_json
from raudeep.pipeline.tuning.ledger import PICTURES, SWEEP, SweepLayout
from raudeep.report import sweep_plots
from raudeep.report.text import objective_name
from raudeep.storage import uri as uris
from raudeep.storage.outputs import check_folder

__all__ = ["write_sweep_pictures"]


def write_sweep_pictures(output: str) -> list[str]:
    """Write ``history.svg``, ``parallel.svg`` and ``importance.svg``, and return their URIs.

    Raises
    ------
    TableError
        If there are no results of a sweep at `output`, or other files have the pictures' names.
    """
    places = SweepLayout(output)
    try:
        results = parse_json(uris.read_bytes(places.results), places.results)
        rows, fields = results["ranking"], results["fields"]
    except (OSError, TableError, TypeError, KeyError) as error:
        raise TableError(
            f"no results of a sweep at {places.results}. Run `raudeep tune`."
        ) from error
    check_folder(places.output, SWEEP)
    maximises = results["objective"] == "uar"
    name = objective_name(results)
    pictures = (
        sweep_plots.trial_history(rows, objective=name, maximises=maximises),
        sweep_plots.parallel_coordinates(rows, fields, objective=name, maximises=maximises),
        sweep_plots.importance(results["importance"]),
    )
    for file, picture in zip(PICTURES, pictures, strict=True):
        uris.write_bytes(places.below(file), picture.encode())
    return [places.below(file) for file in PICTURES]
