"""What of an embeddings table sounds most like something: the query, and what is nearest to it."""
