"""Sweeps on Ray Tune: what is tried and stopped, what is written down, what comes of it."""
