"""A run: its folder, its states, and the loop that makes them."""
