"""Shows what is inside a trained network: feature maps, features, activation maps."""
