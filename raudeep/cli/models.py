"""Commands on autoencoders: `raudeep train`, `raudeep embed` and `raudeep reconstruct`."""

import logging
from collections.abc import Callable
from inspect import getdoc
from typing import Annotated

from cyclopts import App, Parameter

from raudeep.cli.app import app
from raudeep.cli.parameters import (
    CorpusLayout,
    DryRun,
    Flat,
    Json,
    Output,
    Overwrite,
    named,
    print_summary_rows,
)
from raudeep.config import (
    ArchitectureConfig,
    ChunkConfig,
    Limits,
    Readout,
    ResourceConfig,
    TrainingConfig,
    autoencoder_kinds,
)
from raudeep.errors import ConfigError

__all__ = ["embed", "reconstruct"]

logger = logging.getLogger(__name__)

train_app = App(name="train", help="Train an autoencoder on spectrogram tables.")
app.command(train_app)

Spectrograms = Annotated[
    list[str], Parameter(negative="", help="Spectrogram tables, all with the same bands.")
]
Name = Annotated[str | None, Parameter(help="Name of the model; the output's by default.")]
ContinueFrom = Annotated[
    str | None,
    Parameter(help="Continue the training of this model for --num-epochs more epochs."),
]


def _training_command(kind: type[ArchitectureConfig]) -> Callable[..., None]:
    def train(
        spectrograms: Spectrograms,
        *,
        output: Output,
        name: Name = None,
        continue_from: ContinueFrom = None,
        autoencoder: Annotated[kind | None, Flat] = None,  # type: ignore[valid-type]
        training: Annotated[TrainingConfig | None, Flat] = None,
        resources: Annotated[ResourceConfig | None, Flat] = None,
        overwrite: Overwrite = False,
        as_json: Json = False,
    ) -> None:
        from raudeep.pipeline.artifacts import load_autoencoder
        from raudeep.pipeline.training.runs import Run, train_autoencoders
        from raudeep.storage.uri import absolute, join

        place = absolute(output)
        earlier = None if continue_from is None else absolute(continue_from)
        model = autoencoder or kind()
        if earlier is not None and autoencoder is None:
            model = load_autoencoder(earlier).model.config
        if model.kind != kind.kind:
            raise ConfigError(
                f"{earlier} is a {model.kind} autoencoder. Continue it with "
                f"`raudeep train {model.kind}`."
            )
        run = Run(
            name=name or place.rsplit("/", 1)[-1],
            spectrograms=tuple(absolute(uri) for uri in spectrograms),
            output=place,
            model=model,
            training=training or TrainingConfig(),
            continue_from=earlier,
        )
        summaries = train_autoencoders(
            [run], checkpoints=join(place, "runs"), resources=resources, overwrite=overwrite
        )
        if name is not None and (kept := load_autoencoder(place).name) != name:
            logger.warning("%s was trained before, and is called %r.", place, kept)
        print_summary_rows(summaries, as_json=as_json)

    return train


for _kind in autoencoder_kinds().values():
    train_app.command(
        _training_command(_kind),
        name=_kind.kind,
        help=f"Train a {_kind.kind} autoencoder. If it is interrupted, run it again.\n\n"
        + str(getdoc(_kind)),
    )


@app.command
def embed(
    source: Annotated[
        list[str],
        Parameter(
            negative="",
            help="Audio (folder, manifest, packed table, files) or a spectrogram table.",
        ),
    ],
    *,
    model: Annotated[list[str], Parameter(negative="", help="Trained autoencoders.")],
    output: Output,
    readouts: Annotated[
        tuple[Readout, ...],
        Parameter(
            negative="",
            help="How vectors are taken: state as in auDeep, or pooled, which is better in most "
            "experiments. Of several, each is written to a folder of its name.",
        ),
    ] = ("state",),
    fuse: Annotated[
        bool,
        Parameter(
            negative="", help="Write one table, with the vectors of all models side by side."
        ),
    ] = False,
    epochs: Annotated[
        tuple[int, ...],
        Parameter(
            negative="",
            help="Epochs of training that the model kept, each to a folder epoch-N.",
        ),
    ] = (),
    reconstruction_rmse: Annotated[
        bool,
        Parameter(
            negative="",
            help="Add the error of each reconstruction; it is large for sounds that the model does "
            "not know.",
        ),
    ] = False,
    corpus_layout: CorpusLayout = None,
    chunks: Annotated[ChunkConfig | None, Flat] = None,
    limits: Annotated[Limits | None, Flat] = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Embed audio, or a spectrogram table, with one or several autoencoders.

    One model and one readout write the table OUTPUT; several write OUTPUT/READOUT/MODEL. Run again,
    it goes on where it was, and adds the recordings that are new.
    """
    from raudeep.pipeline.corpus import load_manifest
    from raudeep.pipeline.recordings.embedding import embed_corpus, embed_tables
    from raudeep.pipeline.recordings.planning import plan_embedding
    from raudeep.pipeline.recordings.targets import EMBEDDINGS, Embedder
    from raudeep.report.console import print_facts, print_json
    from raudeep.storage.index import is_table, read_index
    from raudeep.storage.opening import check_stage
    from raudeep.storage.outputs import check_folder
    from raudeep.storage.uri import absolute, join

    if fuse and (epochs or reconstruction_rmse or len(model) < 2):
        raise ConfigError(
            "--fuse takes two or more --model, and no --epochs or --reconstruction-rmse."
        )
    models, place = named(model), absolute(output)
    single = len(models) == 1 and len(readouts) == 1
    embedders = []
    for epoch in epochs or (None,):
        folder = place if epoch is None else join(place, f"epoch-{epoch}")
        for name, uri in models.items():
            outputs = {r: folder if single else join(folder, r, name) for r in readouts}
            label = name if epoch is None else f"{name} of epoch {epoch}"
            embedder = Embedder(
                name=label,
                model=uri,
                outputs={} if fuse else outputs,
                epoch=epoch,
                reconstruction_rmse=reconstruction_rmse,
            )
            embedders.append(embedder)
    fused = {r: place if len(readouts) == 1 else join(place, r) for r in readouts if fuse}
    places = [*fused.values(), *(uri for each in embedders for uri in each.outputs.values())]
    if place not in places:
        check_folder(place, EMBEDDINGS)
    for each in places:  # before the corpus is listed
        check_stage(each, "embeddings")
    table = absolute(source[0])
    if len(source) == 1 and is_table(table) and read_index(table).stage == "spectrograms":
        if fuse or chunks or limits or corpus_layout or dry_run:
            raise ConfigError(
                "--fuse, --chunk-seconds, --channels, --sample-rate, --salvage, --max-duration, "
                "--max-errors, --retry-errors, --corpus-layout and --dry-run are for audio; this "
                "is a table of spectrograms. Fuse embeddings with `raudeep fuse`."
            )
        tables = {each.name: table for each in embedders}
        print_summary_rows(embed_tables(embedders, tables, overwrite=overwrite), as_json=as_json)
        return
    manifest, _ = load_manifest(source, layout=corpus_layout, labelled=False)
    if dry_run:
        plan = plan_embedding(
            manifest, embedders, fused=fused, chunks=chunks, limits=limits, overwrite=overwrite
        )
        (print_json if as_json else print_facts)(plan)
        return
    summaries = embed_corpus(
        manifest, embedders, fused=fused, chunks=chunks, limits=limits, overwrite=overwrite
    )
    print_summary_rows(summaries, as_json=as_json)


@app.command
def reconstruct(
    table: Annotated[
        str, Parameter(help="Spectrogram table with the settings of the model's own.")
    ],
    *,
    model: Annotated[str, Parameter(help="Trained autoencoder.")],
    output: Output,
    epoch: Annotated[int | None, Parameter(help="Epoch of training that the model kept.")] = None,
    free_running: Annotated[
        bool,
        Parameter(
            negative="", help="Decode from the representation alone, without the expected steps."
        ),
    ] = False,
    page: Annotated[
        str | None, Parameter(help="HTML page for pictures of targets beside reconstructions.")
    ] = None,
    num_pictures: Annotated[
        int, Parameter(help="Chunks on the page: those with the largest and smallest errors.")
    ] = 10,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Reconstruct spectrograms, with the error of each (reconstruction_rmse)."""
    from raudeep.pipeline.tables.reconstruction import reconstruct_table
    from raudeep.report.reconstructions import write_reconstructions
    from raudeep.storage.outputs import check_writable_file
    from raudeep.storage.uri import absolute

    if num_pictures < 1:
        raise ConfigError(f"--num-pictures must be at least 1. Got {num_pictures}.")
    spectrograms, place = absolute(table), absolute(output)
    if page is not None:
        check_writable_file(absolute(page), overwrite=overwrite, of=place)
    summary = reconstruct_table(
        spectrograms,
        absolute(model),
        place,
        epoch=epoch,
        free_running=free_running,
        overwrite=overwrite,
    )
    if page is not None:
        write_reconstructions(
            spectrograms, place, absolute(page), count=num_pictures, overwrite=overwrite
        )
    print_summary_rows([summary], as_json=as_json)
