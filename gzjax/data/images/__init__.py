"""Image files: listed in one store, read, checked and decoded to uint8 RGB pixels."""
