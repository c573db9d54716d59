# SPDX-License-Identifier: MIT
"""docs/SECURITY.md names tests that exist, and README.md names docs/SECURITY.md."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXT = re.sub(r"\s+", " ", (ROOT / "docs" / "SECURITY.md").read_text())
NAMED = [(path, name) for path, names in re.findall(r"`(tests/[\w/]+\.(?:c|py))`: ((?:`\w+`(?:, )?)+)", TEXT)
         for name in re.findall(r"\w+", names)]


def test_the_document_names_tests():
    assert len(NAMED) >= TEXT.count("`tests/") - 1 > 20  # one file is named without a test
    assert "docs/SECURITY.md" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("path,name", NAMED)
def test_it_exists(path, name):
    text = (ROOT / path).read_text()
    if path.endswith(".py"):
        assert re.search(rf"^def {name}\(", text, re.MULTILINE)
    else:
        assert re.search(rf"^static void {name}\(void \*\*", text, re.MULTILINE)
        assert re.search(rf"cmocka_unit_test\w*\([^;]*\b{name}\b", text)
