"""Engines: what compiled clusters take and give, and the file that carries them."""
