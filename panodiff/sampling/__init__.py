"""Drawing the synthetic set and bringing it to high resolution, in pieces that are never done twice."""
