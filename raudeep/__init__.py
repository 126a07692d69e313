"""Unsupervised representations of sound on Ray."""
