"""Clusters: sets of nodes that become one engine each, found by union-find, kept acyclic, and worth a call."""
