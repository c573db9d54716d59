/* SPDX-License-Identifier: MIT */
#pragma once

/* Shared by the files of this module only. */

#include "mime/library.h"

#include <gmime/gmime.h>

/* Brackets every use of GMime's own tables. enter starts GMime the first time; leave throws away the names of
 * charsets that GMime remembers for ever, once there may be many: they are a sender's. size: bytes of input.
 */
void module_enter(void);
void module_leave(size_t size);
GMimeParserOptions *module_options(void);

bool module_parameters(const char *value, bool disposition, mqlua_texts *out);
bool module_addresses(const char *value, mqlua_texts *out);
char *module_words(const char *value);
char *module_with_parameter(const char *value, bool disposition, const char *name, const char *text);
bool module_convert(const char *to, const char *from, const char *in, size_t size, char **out,
                    size_t *out_size, bool *memory);
