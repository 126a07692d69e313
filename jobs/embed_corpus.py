"""The bulk job: a corpus of any size to a table of embeddings, on a cluster or on this machine.

    python jobs/embed_corpus.py ESC-10 --model build/esc-10/models/60db --output build/embeddings

On a cluster, with corpus, models and output where every node reaches them, a row for every ten
seconds of every recording:

    RAY_AUTH_MODE=token ray job submit --address http://HEAD:8265 --working-dir . -- \
        python jobs/embed_corpus.py s3://BUCKET/recordings --model s3://BUCKET/models/60db \
        --chunk-seconds 10 --output s3://BUCKET/embeddings

Where nodes lack the dependencies, see "A Ray that is there" in cluster/README.md.

Inputs: a folder of audio, a manifest or a packed table, and trained autoencoders. Output: the table
at --output, with a row of errors for each recording that could not be used. To resume, or to add
what is new in the corpus, run the same command again. The flags are those of ``raudeep embed``.
"""

from launch import run

if __name__ == "__main__":
    run("embed")
