"""Tables for science: columns, words and files; a chunk of rows at a time."""
