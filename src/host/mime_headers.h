/* SPDX-License-Identifier: MIT */
#pragma once

/* The headers property of a message: edits of the header block when the message is delivered. Pure. */

#include "host/bytes.h"
#include "host/json_lib.h"

/* Appends mime to out with the edits done, in this order: remove (name or array of names), replace (add
 * where absent), update (only where present), prepend (before the first header), append and add (behind the
 * last one). Names compare case-insensitively; a value is a string, or an array of strings for several
 * headers. Names and values with line ends or other control characters are left out. headers may be NULL.
 * False without memory. */
bool host_mime_headers_apply(struct host_bytes *out, const char *mime, size_t size, host_json *headers);
