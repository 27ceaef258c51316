"""One module per runnable: parses options, builds the graph, runs it, says what happened."""

import sys
import warnings

# Google's packages announce, one by one, when they drop Python 3.10; errors have one line here.
warnings.filterwarnings("ignore", "You are using a non-supported Python version", FutureWarning)

# Beam loads Apache Arrow if it is there, for what no pipeline here does: 27 MB of each process.
sys.modules.setdefault("pyarrow", None)  # type: ignore[arg-type]
