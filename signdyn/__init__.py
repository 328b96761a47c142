"""Sign dynamics of training: what signs of weights and gradients do, and what centering changes."""
