"""The second stage alone: spectrogram tables to a trained autoencoder, on a cluster or here.

    python jobs/train_autoencoders.py time build/spectrograms/60db --num-layers 2 --num-units 256 \
        --output build/models/60db

On a cluster, with tables and output where every node reaches them, on two GPUs:

    RAY_AUTH_MODE=token ray job submit --address http://HEAD:8265 --working-dir . -- \
        python jobs/train_autoencoders.py time s3://BUCKET/spectrograms/60db --num-layers 2 \
        --num-units 256 --num-workers 2 --output s3://BUCKET/models/60db

Where nodes lack the dependencies, see "A Ray that is there" in cluster/README.md.

Inputs: time, frequency or frequency-time, and tables of spectrograms that are trained on together.
Output: the model at --output, with its TensorBoard events. Several models are several jobs at once;
those of a recipe come from ``full_benchmark.py``. To resume from the last epoch, run the same
command again. The flags are those of ``raudeep train``.
"""

from launch import run

if __name__ == "__main__":
    run("train")
