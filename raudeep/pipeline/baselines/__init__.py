"""What representations are compared with."""
