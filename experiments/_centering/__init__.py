"""Parts of the experiment on which centering buys what."""
