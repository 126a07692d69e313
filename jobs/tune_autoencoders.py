"""The sweep job: a recipe, a search space and a corpus to a ranking and the best recipe.

    python jobs/tune_autoencoders.py esc-10 space.toml --corpus ESC-10 --output build/sweep

On a cluster, with corpus and output where every node reaches them; several trials share its cores
and GPUs:

    RAY_AUTH_MODE=token ray job submit --address http://HEAD:8265 --working-dir . -- \
        python jobs/tune_autoencoders.py esc-10 space.toml --corpus s3://BUCKET/ESC-10 \
        --num-trials 64 --output s3://BUCKET/sweep

Inputs: a recipe's name or file, the searched fields as TOML, and a folder of audio or a manifest.
Outputs: ``results.json``, ``ranking.csv``, pictures and ``best.toml``, a recipe for
``jobs/full_benchmark.py``. To resume, run the same command again; with a larger --num-trials it
tries more. The flags are those of ``raudeep tune``.
"""

import sys
from pathlib import Path

try:
    from raudeep.cli import main
except ModuleNotFoundError as error:
    if error.name != "raudeep":
        raise
    # Not installed: run from a checkout or an uploaded working directory.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from raudeep.cli import main

if __name__ == "__main__":
    main(["tune", *sys.argv[1:]])
