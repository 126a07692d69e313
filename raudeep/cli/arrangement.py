"""How the help shows the commands: their order, their groups, an example of each."""

from collections.abc import Iterator

from cyclopts import App, Group

__all__ = ["COMMANDS", "arrange", "leaves"]

COMMANDS: dict[str, dict[str, str]] = {
    "Look": {
        "inspect": "raudeep inspect my-sounds",
        "preview": "raudeep preview my-sounds --output preview.svg --n-mels 64 --clip-below-db -60",
    },
    "From sound to vectors": {
        "pack": "raudeep pack my-sounds --output packed",
        "extract": "raudeep extract my-sounds --output spectrograms --n-mels 64 "
        "--clip-below-db -60",
        "train KIND": "raudeep train KIND spectrograms --output model --num-units 64 "
        "--num-epochs 20",
        "embed": "raudeep embed my-sounds --model model --output embeddings --readouts pooled",
        "reconstruct": "raudeep reconstruct spectrograms --model model --output reconstructions "
        "--page pictures.html",
    },
    "Change tables": {
        "fuse": "raudeep fuse embeddings-30db embeddings-60db --output fused",
        "fuse-chunks": "raudeep fuse-chunks embeddings --output joined",
        "modify": "raudeep modify embeddings --output with-folds --add-folds 5",
        "relabel": "raudeep relabel embeddings --manifest labels.csv",
        "upsample": "raudeep upsample embeddings --output balanced --partitions train",
        "validate": "raudeep validate embeddings",
        "verify": "raudeep verify embeddings --repair",
    },
    "Use vectors": {
        "evaluate KIND": "raudeep evaluate KIND embeddings --output predictions --num-folds 5",
        "evaluate predictions": "raudeep evaluate predictions predictions --plot confusion.svg",
        "train-classifier KIND": "raudeep train-classifier KIND embeddings --output classifier",
        "predict": "raudeep predict new-sounds --classifier classifier --model model "
        "--output labels.tsv",
        "predict KIND": "raudeep predict KIND new --train-table embeddings --output labels.tsv",
        "search": "raudeep search embeddings sound.wav --model model --num-results 20",
        "visualize": "raudeep visualize embeddings --output map.svg",
        "export": "raudeep export csv embeddings --output embeddings.csv",
        "import": "raudeep import csv embeddings.csv --output embeddings",
    },
    "Whole experiments": {
        "benchmark": "raudeep benchmark demo --output demo",
        "report": "raudeep report demo",
        "tune": "raudeep tune esc-10 space.toml --corpus ESC-10 --output sweep",
        "baseline cnn": "raudeep baseline cnn my-sounds --output cnn --num-folds 5 --num-epochs 20 "
        "--num-units 500",
        "baseline sparse-coding": "raudeep baseline sparse-coding my-sounds --output sparse "
        "--num-folds 5",
        "baseline band-statistics": "raudeep baseline band-statistics spectrograms "
        "--output statistics --num-folds 5",
        "baseline soundnet": "raudeep baseline soundnet my-sounds --weights sound8.npy "
        "--output soundnet",
    },
}
"""Examples by command, by the title of its group. KIND stands for each kind without its own."""


def leaves(app: App, *path: str) -> Iterator[tuple[App, tuple[str, ...]]]:
    """Yield each command that can be called, and its words."""
    if path and app.default_command is not None:
        yield app, path
    for name in app:
        if not name.startswith("-"):
            yield from leaves(app[name], *path, name)


def arrange(app: App) -> None:
    """Put the commands into the order of the work, in groups, each with its example."""
    examples = {words: text for group in COMMANDS.values() for words, text in group.items()}
    for place, (title, commands) in enumerate(COMMANDS.items(), 1):
        group = Group(title, sort_key=place)
        for order, name in enumerate(dict.fromkeys(words.split()[0] for words in commands)):
            app[name].group, app[name].sort_key = (group,), order
    of_help = (Group("Help", sort_key=90),)
    for name in ("help", "--help", "--version"):
        app[name].group = of_help
    for command, (name, *kinds) in leaves(app):
        kind = "".join(kinds)
        general = examples.get(f"{name} KIND", "").replace("KIND", kind) if kind else ""
        if example := examples.get(" ".join([name, *kinds]), general):
            command.help_epilogue = f"Example: `{example}`"
