"""Tables for science: columns, words, cuts and files; a chunk of rows at a time."""
