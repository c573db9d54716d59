/* SPDX-License-Identifier: MIT */
#pragma once

/* Loads modules/mime.so when somebody first asks for it: GLib is in no process that reads no MIME. Any
 * thread. */

#include "mime/library.h"

typedef struct mqlua_mime_module mqlua_mime_module;

/* Loads nothing yet. NULL on lack of memory. */
mqlua_mime_module *mqlua_mime_module_new(void);

/* The library stays in the process: GLib cannot be unloaded. */
void mqlua_mime_module_free(mqlua_mime_module *module);

/* Loads it the first time (some 10 ms). NULL with *error, malloc'ed, when that fails; it is tried again the
 * next time. */
const mqlua_mime_library *mqlua_mime_module_get(mqlua_mime_module *module, char **error);

/* Bytes of mail that helper threads have copies of, all of them together. take: false when with size more
 * they would be more than MQLUA_MIME_COPIES, unless it is the only one. */
#define MQLUA_MIME_COPIES ((size_t)256 << 20)
bool mqlua_mime_module_take(mqlua_mime_module *module, size_t size);
void mqlua_mime_module_give(mqlua_mime_module *module, size_t size);
