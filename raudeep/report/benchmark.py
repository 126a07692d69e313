"""Writing a benchmark's report from what the benchmark left on storage."""

from typing import Any

from raudeep.errors import TableError
from raudeep.foreign import parse_json, typed
from raudeep.pipeline.artifacts import read_examples, read_history
from raudeep.pipeline.benchmark_layout import BENCHMARK, BenchmarkLayout
from raudeep.report.html import render_report
from raudeep.storage import uri as uris
from raudeep.storage.outputs import check_folder

__all__ = ["read_results", "write_report"]


def read_results(output: str) -> dict[str, Any]:
    """Return the results of the benchmark whose output lies at `output`."""
    place = BenchmarkLayout(output).results
    results = _read(place)
    if "ranking" in results:
        raise TableError(
            f"{place} is of a sweep, which has no report: ranking.csv and the pictures beside it "
            "show it."
        )
    if not isinstance(results.get("autoencoders"), dict):
        raise TableError(f"{place} holds no results of a benchmark. Run `raudeep benchmark`.")
    return results


def _read(place: str) -> dict[str, Any]:
    said = f"{place} cannot be read"
    try:
        content = uris.read_bytes(place)
    except FileNotFoundError as error:
        raise TableError(f"no benchmark results at {place}. Run `raudeep benchmark`.") from error
    except OSError as error:
        raise TableError(f"{said}: {error}") from error
    results: dict[str, Any] = typed(dict[str, Any], parse_json(content, said), said)
    return results


def write_report(output: str) -> str:
    """Write ``report.html`` beside a benchmark's results and return its URI.

    Raises
    ------
    TableError
        If there are no results, they are not a benchmark's, or a report of something else is there.
    """
    places = BenchmarkLayout(output)
    results = read_results(output)
    check_folder(places.output, BENCHMARK)
    names = list(results["autoencoders"])
    page = render_report(
        results,
        recipe=_read(places.recipe),
        histories={name: read_history(places.model(name)) for name in names},
        examples={name: read_examples(places.model(name)) for name in names},
    )
    uris.write_bytes(places.report, page.encode())
    return places.report
