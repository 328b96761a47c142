"""Parts of the experiment on vanishing gradients and the mean."""
