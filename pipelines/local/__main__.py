"""`python -m pipelines.local --help`."""

import sys

from pipelines.local.cli import main

sys.exit(main())
