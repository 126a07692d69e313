"""The sweep job: a recipe, a search space and a corpus to a ranking and the best recipe.

    python jobs/tune_autoencoders.py esc-10 space.toml --corpus ESC-10 --output build/sweep

On a cluster, with corpus and output where every node reaches them; several trials share its cores
and GPUs:

    RAY_AUTH_MODE=token ray job submit --address http://HEAD:8265 --working-dir . -- \
        python jobs/tune_autoencoders.py esc-10 space.toml --corpus s3://BUCKET/ESC-10 \
        --num-trials 64 --output s3://BUCKET/sweep

Where nodes lack the dependencies, see "A Ray that is there" in cluster/README.md.

Inputs: a recipe's name or file, the searched fields as TOML, and a folder of audio or a manifest.
Outputs: ``results.json``, ``ranking.csv``, pictures and ``best.toml``, a recipe for
``jobs/full_benchmark.py``. To resume, run the same command again; with a larger --num-trials it
tries more. The flags are those of ``raudeep tune``.
"""

from launch import run

if __name__ == "__main__":
    run("tune")
