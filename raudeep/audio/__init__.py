"""Audio to spectrograms: decode, frame, transform. Arrays in, arrays out; no paths, no Ray, no torch."""
