"""WebDataset without PyTorch, which its package does not ask for: it starts sooner."""

from __future__ import annotations

import sys
from typing import Any, cast

# `import torch` now fails as it does where it is not installed; WebDataset is ready for that.
cast(dict[str, Any], sys.modules)["torch"] = None

from benchmarks.writers.job import run  # noqa: E402
from benchmarks.writers.webdataset import count, write  # noqa: E402

if __name__ == "__main__":
    run(write, count)
