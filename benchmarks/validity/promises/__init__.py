# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Every promise that is admitted, tried on populations whose true risks are known; and wrong rules, to be caught."""
