"""The main job: a recipe and a corpus to cross-validated scores, on a cluster or on this machine.

    python jobs/full_benchmark.py demo --output build/demo
    python jobs/full_benchmark.py esc-10 --corpus ESC-10 --output build/esc-10

On a cluster, with corpus and output where every node reaches them (S3, or a shared folder; the
working directory of a job is a copy and lost):

    RAY_AUTH_MODE=token ray job submit --address http://HEAD:8265 --working-dir . -- \
        python jobs/full_benchmark.py esc-10 --corpus s3://BUCKET/ESC-10 --output s3://BUCKET/esc-10

Inputs: a recipe's name or file, and a folder of audio or a manifest. Outputs: tables, models,
``results.json`` and ``report.html`` below --output. To resume, run the same command again. The
flags are those of ``raudeep benchmark``; the exit code is 0 only if everything was done.
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
    main(["benchmark", *sys.argv[1:]])
