"""Pictures by which a person judges an extrinsic: overlays, coloured clouds, the window of `crossi2p view`."""
