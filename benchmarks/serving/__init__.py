"""Serving under load: soak, weights that change, throughput by concurrency, the cost of an engine call."""
