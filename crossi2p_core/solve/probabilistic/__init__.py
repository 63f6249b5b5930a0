"""Poses as probabilities, in batches of tensors: weighted least squares, sampling, a loss, dense match likelihoods."""
