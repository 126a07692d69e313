"""What is made of recordings, slice by slice: spectrograms, embeddings, packs; and its plan."""
