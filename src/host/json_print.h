/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * JSON text of a tree, for what must not lose a byte: libfastjson's own printer ends a string at its first
 * NUL, and mail may have some.
 */

#include "host/bytes.h"
#include "host/json_lib.h"

/* Appends json on one line. Strings keep all their bytes: quotes, backslashes and control characters escaped,
 * the rest as it is. False without memory, or nested deeper than 1024; out has then some part of it. */
bool host_json_print(struct host_bytes *out, host_json *json);
