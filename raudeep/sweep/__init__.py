"""Sweeps over configurations: search spaces, samplers, what became of trials. Plain values only."""
