"""A fresh container for each test of a rule."""

import pytest
from transcripts import Transcript, ran


@pytest.fixture
def transcript() -> Transcript:
    """A fresh container with its first process, a web server of the image."""
    story = Transcript()
    story.tell(ran(1, "/usr/sbin/nginx", parent=None, when=1))
    return story
