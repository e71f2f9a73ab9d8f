"""Models: loaded, made fresh, given a critic, averaged."""
