"""The main job: a recipe and a corpus to cross-validated scores, on a cluster or on this machine.

    python jobs/full_benchmark.py demo --output build/demo
    python jobs/full_benchmark.py esc-10 --corpus ESC-10 --output build/esc-10

On a cluster, with corpus and output where every node reaches them (S3, or a shared folder; the
working directory of a job is a copy and lost):

    RAY_AUTH_MODE=token ray job submit --address http://HEAD:8265 --working-dir . -- \
        python jobs/full_benchmark.py esc-10 --corpus s3://BUCKET/ESC-10 --output s3://BUCKET/esc-10

Where nodes lack the dependencies, see "A Ray that is there" in cluster/README.md.

Inputs: a recipe's name or file, and a folder of audio or a manifest. Outputs: tables, models,
``results.json`` and ``report.html`` below --output. To resume, run the same command again. The
flags are those of ``raudeep benchmark``; the exit code is 0 only if everything was done.
"""

from launch import run

if __name__ == "__main__":
    run("benchmark")
