"""The last stage alone: a table of embeddings to cross-validated scores, on a cluster or here.

    python jobs/evaluate_embeddings.py mlp build/embeddings --output build/predictions --repeats 5

On a cluster, with tables where every node reaches them, folds and repeats side by side:

    RAY_AUTH_MODE=token ray job submit --address http://HEAD:8265 --working-dir . -- \
        python jobs/evaluate_embeddings.py mlp s3://BUCKET/embeddings \
        --output s3://BUCKET/predictions --repeats 5 --json

Where nodes lack the dependencies, see "A Ray that is there" in cluster/README.md.

Inputs: mlp or svm, and a table with labels and folds or partitions. Output: the predictions at
--output; accuracy and UAR on stdout. To resume, run the same command again. The flags are those of
``raudeep evaluate``.
"""

from launch import run

if __name__ == "__main__":
    run("evaluate")
