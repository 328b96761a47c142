"""Measurements of time and memory, each a command of its own."""
