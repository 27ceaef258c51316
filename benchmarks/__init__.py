"""What is measured of the bridge, and what that is compared with."""

import os

# Before gRPC is loaded, which otherwise tells of each server that is stopped.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
