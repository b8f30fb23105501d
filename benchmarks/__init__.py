# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Speed and memory as ratios of runs that alternate in one process; ``python -m benchmarks`` makes all of them."""
