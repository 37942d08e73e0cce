"""Where galaxies lie in their images, and how large they are."""
