"""Scripts of the checkout; nothing of it is installed."""
