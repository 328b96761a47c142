"""Parts of the experiment on natural gradients."""
