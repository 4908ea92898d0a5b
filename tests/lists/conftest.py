"""A lab is only where it is possible; tests that need none run everywhere."""
