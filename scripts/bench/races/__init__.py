"""What is raced: every module has a tuple ``RACES``, see `scripts.bench.race`."""
