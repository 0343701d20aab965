"""What is found, and what it means: no I/O."""
