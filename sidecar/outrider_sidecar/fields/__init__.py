"""Fields: each is one named fact about an event in its world, with one function. The catalogue is a list to read."""
