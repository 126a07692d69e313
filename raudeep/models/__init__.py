"""PyTorch models: recurrent autoencoders, the MLP, their loss and how they are kept."""
