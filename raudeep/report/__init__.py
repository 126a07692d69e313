"""Results for people: pages, pictures, and tables in a terminal.

`benchmark`, `sweep`, `reconstructions` and `pictures` take what lies on storage; `html` arranges
the page of a benchmark, whose templates lie beside it, `plots` and `sweep_plots` draw, `text`
writes numbers, `console` prints tables. Nothing here computes a score.
"""
