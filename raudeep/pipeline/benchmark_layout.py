"""Where things lie below the output of a benchmark, and how one is told from other folders.

``manifest/``, ``spectrograms/VIEW/``, ``models/NAME/``, ``embeddings/READOUT/NAME/``,
``predictions/READOUT/NAME/``, ``baselines/NAME/``, ``runs/`` (checkpoints of trainings that are not
finished), ``recipe.json``, ``results.json`` and ``report.html``, which have what the last run asked
for.
"""

from dataclasses import dataclass

from raudeep.pipeline.artifacts import AUTOENCODER, CHECKPOINTS, is_artifact
from raudeep.pipeline.baselines.layout import BASELINE
from raudeep.pipeline.corpus import holds_demo_corpus
from raudeep.recipe import FUSED, Recipe
from raudeep.storage import uri as uris
from raudeep.storage.found import BENCHMARK_FILES, is_benchmark
from raudeep.storage.opening import check_stage, stored_stage
from raudeep.storage.outputs import Kind, check_folder, is_json, json_with

__all__ = ["BENCHMARK", "BenchmarkLayout", "check_output"]

_RECIPE, _RESULTS = BENCHMARK_FILES
_REPORT = "report.html"


@dataclass(frozen=True)
class BenchmarkLayout:
    """Where things lie below the output of a benchmark."""

    output: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "output", uris.absolute(self.output))

    @property
    def manifest(self) -> str:
        """URI of the manifest table."""
        return uris.join(self.output, "manifest")

    @property
    def checkpoints(self) -> str:
        """URI of the folder of the checkpoints of training runs."""
        return uris.join(self.output, "runs")

    @property
    def baselines(self) -> str:
        """URI of the folder of the baselines."""
        return uris.join(self.output, "baselines")

    @property
    def recipe(self) -> str:
        """URI of the recipe as it was run."""
        return uris.join(self.output, _RECIPE)

    @property
    def results(self) -> str:
        """URI of the machine-readable results."""
        return uris.join(self.output, _RESULTS)

    @property
    def report(self) -> str:
        """URI of the report."""
        return uris.join(self.output, _REPORT)

    def spectrograms(self, view: str) -> str:
        """URI of a view's table."""
        return uris.join(self.output, "spectrograms", view)

    def model(self, name: str) -> str:
        """URI of an autoencoder's artifact."""
        return uris.join(self.output, "models", name)

    def embeddings(self, readout: str, name: str) -> str:
        """URI of a table of embeddings."""
        return uris.join(self.output, "embeddings", readout, name)

    def predictions(self, readout: str, name: str) -> str:
        """URI of a table of predictions."""
        return uris.join(self.output, "predictions", readout, name)


def check_output(places: BenchmarkLayout, recipe: Recipe) -> None:
    """Refuse an output that holds something else, at the top or where the recipe has a table.

    Raises
    ------
    TableError
        See `check_folder` and `check_stage`.
    """
    check_folder(places.output, BENCHMARK)
    check_folder(places.checkpoints, CHECKPOINTS)
    check_stage(places.manifest, "manifest")
    for view in recipe.views:
        check_stage(places.spectrograms(view), "spectrograms")
    for name in recipe.autoencoders:
        if not is_artifact(places.model(name)):
            check_folder(places.model(name), AUTOENCODER)
    for readout in recipe.readouts:
        for name in (*recipe.autoencoders, FUSED):
            check_stage(places.embeddings(readout, name), "embeddings")
            check_stage(places.predictions(readout, name), "predictions")
    for baseline in recipe.baselines:
        place = uris.join(places.baselines, baseline)
        of_views = [uris.join(place, view) for view in recipe.views]
        for folder in of_views if baseline == "band-statistics" else [place]:
            check_folder(folder, BASELINE)


def _is_benchmark(uri: str) -> bool:
    places = BenchmarkLayout(uri)
    if is_benchmark(uri):
        return True
    is_sweep = is_json(uris.join(places.output, "sweep.json"), "identity")
    begun = stored_stage(places.manifest) == "manifest" or holds_demo_corpus(places.output)
    return begun and not is_sweep


BENCHMARK = Kind(
    "benchmark",
    is_there=_is_benchmark,
    files={
        **{name: json_with(*keys) for name, keys in BENCHMARK_FILES.items()},
        _REPORT: lambda content: (
            " · raudeep</title>".encode() in content or not content.strip(b"\0")
        ),
    },
)
