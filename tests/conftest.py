"""Settings for all tests."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

# A busy machine is not a failure, and what CI judges must not depend on the draw of the day.
settings.register_profile("fedmrg", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("fedmrg")

# A shell that starts the tests in the background has Ctrl-C ignored, and programs inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
