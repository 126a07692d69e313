"""The stages, wired to Ray. The only package that imports ray; it does no arithmetic."""
