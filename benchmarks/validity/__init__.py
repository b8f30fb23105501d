# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Simulations of what is promised, on populations whose true risk is known."""
