"""Where tables and artifacts lie: URIs, and the protocol of parts and index."""
