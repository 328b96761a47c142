"""Parts of the experiment on sigmoid and tanh."""
