"""Loaded by Bazel's own tools; nothing of it is used."""
