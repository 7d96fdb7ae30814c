"""Build scripts: what to run. They keep the same rules as the methods do."""

import methods  # noqa: F401
