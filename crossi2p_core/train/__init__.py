"""Training: examples, losses, GradNorm, the loop, and what it keeps."""
