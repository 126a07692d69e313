"""Classifiers on embeddings: fitted and kept, scored by cross-validation, predictions."""
