"""Training with Ray Train: runs, the worker of each, checkpoints, trackers."""
