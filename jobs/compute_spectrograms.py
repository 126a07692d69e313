"""The first stage alone: a corpus to a table of spectrograms, on a cluster or on this machine.

    python jobs/compute_spectrograms.py ESC-10 --fixed-seconds 5 --clip-below-db -60 \
        --output build/spectrograms/60db

On a cluster, with corpus and output where every node reaches them:

    RAY_AUTH_MODE=token ray job submit --address http://HEAD:8265 --working-dir . -- \
        python jobs/compute_spectrograms.py s3://BUCKET/ESC-10 --fixed-seconds 5 \
        --clip-below-db -60 --output s3://BUCKET/spectrograms/60db

Where nodes lack the dependencies, see "A Ray that is there" in cluster/README.md.

Input: a folder of audio, a manifest or a packed table. Output: the table at --output, with a row of
errors for each recording that could not be used. To resume, or to add what is new in the corpus,
run the same command again. The flags are those of ``raudeep extract``.
"""

from launch import run

if __name__ == "__main__":
    run("extract")
