"""From a path, a folder, a zip to uint8 RGB pixels."""
