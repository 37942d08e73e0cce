"""Tables of vote fractions, read and checked."""
