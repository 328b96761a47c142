"""Flax models that train under any centering and yield each layer's inputs and deltas."""
