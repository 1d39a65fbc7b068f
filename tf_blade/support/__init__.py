"""Support: which nodes a backend can take, and why not."""
