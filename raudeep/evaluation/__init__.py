"""Folds, fusion, classifiers, metrics, cross-validation: arrays in, results out."""
