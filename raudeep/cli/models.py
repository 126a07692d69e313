"""Commands on autoencoders: `raudeep train` and `raudeep embed`."""

from typing import Annotated

from cyclopts import App, Parameter

from raudeep.cli.app import app
from raudeep.cli.parameters import (
    CorpusLayout,
    Flat,
    Json,
    MaxErrors,
    Output,
    Overwrite,
    named,
    print_summary_rows,
)
from raudeep.config import AutoencoderConfig, Readout, ResourceConfig, TrainingConfig

__all__ = ["embed", "train_time"]

train_app = App(name="train", help="Train an autoencoder on spectrogram tables.")
app.command(train_app)


@train_app.command(name="time")
def train_time(
    spectrograms: Annotated[
        list[str], Parameter(negative="", help="Spectrogram tables, all of one shape.")
    ],
    *,
    output: Output,
    name: Annotated[
        str | None, Parameter(help="Name of the model; the output's by default.")
    ] = None,
    autoencoder: Annotated[AutoencoderConfig | None, Flat] = None,
    training: Annotated[TrainingConfig | None, Flat] = None,
    resources: Annotated[ResourceConfig | None, Flat] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Train a time-recurrent autoencoder; an interrupted training goes on when run again."""
    from raudeep.pipeline.training import Run, train_autoencoders
    from raudeep.storage.uri import absolute, join

    place = absolute(output)
    run = Run(
        name=name or place.rsplit("/", 1)[-1],
        spectrograms=tuple(absolute(uri) for uri in spectrograms),
        output=place,
        model=autoencoder or AutoencoderConfig(),
        training=training or TrainingConfig(),
    )
    summaries = train_autoencoders(
        [run], checkpoints=join(place, "runs"), resources=resources, overwrite=overwrite
    )
    print_summary_rows(summaries, as_json=as_json)


@app.command
def embed(
    source: Annotated[
        str, Parameter(help="Audio (folder, manifest, file) or a spectrogram table.")
    ],
    *,
    model: Annotated[list[str], Parameter(negative="", help="Trained autoencoders.")],
    output: Output,
    readouts: Annotated[
        tuple[Readout, ...],
        Parameter(
            negative="", help="Embeddings to write; with several, each to a folder of its name."
        ),
    ] = ("state",),
    corpus_layout: CorpusLayout = None,
    max_errors: MaxErrors = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Embed audio, or a spectrogram table, with one or several autoencoders.

    One model and one readout write the table OUTPUT; several write OUTPUT/READOUT/MODEL.
    """
    from raudeep.pipeline.benchmark import check_errors
    from raudeep.pipeline.corpus import load_manifest
    from raudeep.pipeline.embedding import Embedder, embed_corpus, embed_tables
    from raudeep.storage.table import is_table, read_errors, read_index
    from raudeep.storage.uri import absolute, join

    place, models = absolute(output), named(model)
    single = len(models) == 1 and len(readouts) == 1
    embedders = [
        Embedder(
            name=name,
            model=uri,
            outputs={r: place if single else join(place, r, name) for r in readouts},
        )
        for name, uri in models.items()
    ]
    table = absolute(source)
    if is_table(table) and read_index(table).stage == "spectrograms":
        summaries = embed_tables(embedders, dict.fromkeys(models, table), overwrite=overwrite)
    else:
        manifest, _ = load_manifest(source, layout=corpus_layout, labelled=False)
        summaries = embed_corpus(manifest, embedders, overwrite=overwrite)
        errors = read_errors(summaries[0].table).to_pylist()
        check_errors(errors, manifest.num_rows, max_errors=max_errors)
    print_summary_rows(summaries, as_json=as_json)
