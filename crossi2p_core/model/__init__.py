"""The network: image and cloud in, matches between superpoints and superpixels, points and pixels out."""
