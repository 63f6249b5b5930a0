"""A network teaches itself on a drive whose extrinsic nobody knows: what its frames agree on is what it learns."""
