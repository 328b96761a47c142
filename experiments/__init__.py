"""One file a question; run one with ``python -m experiments.<name> --help``."""
