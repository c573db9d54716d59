# SPDX-License-Identifier: MIT
"""MQLUA_SAMPLE=300: that many of the tests, chosen by MQLUA_SEED; with more than there are, all of them."""

import os
import random


def pytest_collection_modifyitems(config, items):
    """Every worker of pytest-xdist has to choose the same ones: by name, which all of them collect in one order."""
    sample = os.environ.get("MQLUA_SAMPLE")
    if not sample:
        return
    names = sorted(item.nodeid for item in items)
    chosen = set(random.Random(os.environ.get("MQLUA_SEED", "1")).sample(names, min(int(sample), len(names))))
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in chosen])
    items[:] = [item for item in items if item.nodeid in chosen]
