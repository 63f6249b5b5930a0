"""From matches of points and pixels to a pose: search among wrong matches, polish, judge."""
