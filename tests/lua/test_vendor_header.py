# SPDX-License-Identifier: MIT
"""A build with the vendor's mailerq.h: whatever shape it has, the probe reads it or says that it does not know."""

import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# All that a header may say; a test takes lines away or puts others in their place.
PARTS = {
    "types": "#include <stdbool.h>\n#include <stddef.h>\n#define MQ_EXPORT\n"
             "typedef struct MQ_Message MQ_Message;\ntypedef struct MQ_Address MQ_Address;\n"
             "typedef struct MQ_Envelope MQ_Envelope;\nstruct json_object;\nstruct fjson_object;",
    "api": "#define MQ_API_VERSION 77",
    "flags": "#define MQ_READ 1\n#define MQ_WRITE 2",
    "json": "struct fjson_object *MQ_json(MQ_Message *message);",
    "recipient": "MQ_Address *MQ_recipient(MQ_Message *message);",
    "envelope": "MQ_Address *MQ_envelope(MQ_Message *message);",
    "local": "bool MQ_local(MQ_Address *address);",
    "set_local": "void MQ_setLocal(MQ_Address *address, bool local);",
}
#        vendor, api, read, write, addresses, local on address, fastjson
PLAIN = [1, 77, 1, 2, 1, 1, 1]
STRINGS = {"recipient": "const char *MQ_recipient(MQ_Message *message);",
           "envelope": "const char *MQ_envelope(MQ_Message *message);"}
ON_MESSAGE = {"local": "bool MQ_local(MQ_Message *message);",
              "set_local": "void MQ_setLocal(MQ_Message *message, bool local);"}
SHAPES = {
    "5.6.5": ({}, PLAIN),
    "4.1, json-c": ({"json": "struct json_object *MQ_json(MQ_Message *message);", "api": "#define MQ_API_VERSION 41"},
                    [1, 41, 1, 2, 1, 1, 0]),
    "4.0, MQ_Json": ({"json": "struct json_object *MQ_Json(MQ_Message *message);"}, [1, 77, 1, 2, 1, 1, -1]),
    "an enum of flags": ({"flags": "enum { MQ_READ = 0x10, MQ_WRITE = 0x20 };"}, [1, 77, 16, 32, 1, 1, 1]),
    "a version that is computed": ({"api": "#define MQ_API_VERSION ((5 << 8) | 13)"}, [1, 1293, 1, 2, 1, 1, 1]),
    "strings": (STRINGS, [1, 77, 1, 2, 0, 1, 1]),
    "as the pages print it": ({"recipient": STRINGS["recipient"],
                               "envelope": "MQ_Envelope *MQ_envelope(MQ_Message *message);", **ON_MESSAGE},
                              [1, 77, 1, 2, -1, 0, 1]),
    "an envelope of its own type": ({"envelope": "MQ_Envelope *MQ_envelope(MQ_Message *message);"}, PLAIN),
    "an envelope that is a string": ({"envelope": STRINGS["envelope"]}, [1, 77, 1, 2, -1, 1, 1]),
    "local on messages": (ON_MESSAGE, [1, 77, 1, 2, 1, 0, 1]),
    "local here and there": ({"set_local": ON_MESSAGE["set_local"]}, [1, 77, 1, 2, 1, -1, 1]),
    "something else": ({"recipient": "int MQ_recipient(MQ_Message *message);", "local": "int MQ_local(void);"},
                       [1, 77, 1, 2, -1, -1, 1]),
    "nothing but types": (dict.fromkeys(set(PARTS) - {"types"}, ""), [1, -1, -1, -1, -1, -1, -1]),
}


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def component(tmp_path_factory):
    """A project that is src/mq and a program that prints what its probe found."""
    folder = tmp_path_factory.mktemp("vendor")
    (folder / "CMakeLists.txt").write_text(f"""
cmake_minimum_required(VERSION 3.25)
project(probe LANGUAGES C)
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_EXTENSIONS ON)
add_compile_definitions(_GNU_SOURCE)
function(mqlua_component name)
  add_library(mqlua_${{name}} STATIC {ROOT}/src/mq/probe.c)
  target_include_directories(mqlua_${{name}} PUBLIC {ROOT}/src)
endfunction()
add_subdirectory({ROOT}/src/mq mq)
add_executable(print {ROOT}/tests/unit/vendor/print.c)
target_link_libraries(print mqlua_mq)
""")
    return folder


def found(component, folder, header):
    include = folder / "include"
    include.mkdir()
    if header is not None:
        (include / "mailerq.h").write_text(header)
    run("cmake", "-G", "Ninja", "-S", component, "-B", folder / "build", f"-DMQLUA_VENDOR_HEADER_DIR={include}")
    run("cmake", "--build", folder / "build")
    return [int(number) for number in run(folder / "build" / "print").split()]


@pytest.mark.parametrize("shape", SHAPES)
def test_shape(shape, component, tmp_path):
    changes, expected = SHAPES[shape]
    assert found(component, tmp_path, "\n".join({**PARTS, **changes}.values()) + "\n") == expected


@pytest.mark.skipif(any(os.path.exists(f"{folder}/mailerq.h") for folder in ("/usr/include", "/usr/local/include")),
                    reason="the vendor's header is installed")
def test_without_the_header_nothing_but_the_stand_in_is_known(component, tmp_path):
    assert found(component, tmp_path, None) == [0, 0x5D13, 0x10, 0x20, -1, -1, -1]
