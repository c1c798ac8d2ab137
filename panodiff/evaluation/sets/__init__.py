"""Metrics between sets of images, on features taken before, each with its interval where it can be had."""
