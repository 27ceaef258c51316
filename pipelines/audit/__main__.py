"""`python -m pipelines.audit --help`."""

import sys

from pipelines.audit.cli import main

sys.exit(main())
