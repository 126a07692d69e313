"""The HTML report of a benchmark.

`html` arranges the page, `plots` draws its pictures, `text` writes its numbers. Nothing here
computes a score or reads storage; results come in as plain data.
"""
