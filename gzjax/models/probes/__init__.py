"""What a trained network shows: maps of layers, features, activation maps."""
