"""Our equivalents of the borrowed packages, written to their documented behaviour; import them through the parent."""
