"""From tables to tables, to files of other tools, and to whoever reads them."""
