"""Results over time: a folder of record files, an index to ask, and where each configuration's level changed."""
