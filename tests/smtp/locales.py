# SPDX-License-Identifier: MIT
"""Locales for hosts that have one, made in the build's folder: nothing of the system changes.

    with Host(knobs={"locale": "environment"}, environment=locales.environment("tr_TR.ISO-8859-9")) as host:
"""

import os
import pathlib
import shutil
import subprocess
import tempfile

TURKISH = "tr_TR.ISO-8859-9"  # I is no small i there, and each byte beyond ASCII is a letter
GERMAN = "de_DE.UTF-8"        # 1,5
LATIN = "de_DE.ISO-8859-1"    # 8-bit
PASHTO = "ps_AF.UTF-8"        # a decimal point of two bytes
ALL = [TURKISH, GERMAN, LATIN, PASHTO]


def _make(folder, name):
    path = folder / name
    if path.exists():
        return
    language, charset = name.split(".")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as draft:
        # Warnings about the sources of a locale are exit status 1, and the locale is made.
        subprocess.run(["localedef", "-c", "-i", language, "-f", charset, f"{draft}/{name}"], capture_output=True)
        if not os.path.exists(f"{draft}/{name}/LC_CTYPE"):
            raise AssertionError(f"localedef does not make {name}: is the package locales installed?")
        try:
            os.rename(f"{draft}/{name}", path)
        except OSError:  # another worker of the tests was faster
            shutil.rmtree(f"{draft}/{name}", ignore_errors=True)


def environment(name=TURKISH):
    """Variables for a process that is to have that locale."""
    build = pathlib.Path(os.environ.get("MQLUA_BUILD", pathlib.Path(__file__).parents[2] / "build" / "release"))
    folder = build.resolve() / "locales"
    _make(folder, name)
    return {"LC_ALL": name, "LOCPATH": str(folder)}
