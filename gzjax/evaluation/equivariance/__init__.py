"""Names the layer of a network that loses its equivariance, and what would mend it."""
