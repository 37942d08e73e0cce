"""Opens data sets with random access: ids, votes, pixels."""
