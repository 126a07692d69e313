"""Audio to spectrograms: arrays in, arrays out; no paths, no Ray, no torch."""
