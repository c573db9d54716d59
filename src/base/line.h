/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Writes text as one clean line: each control character becomes a space, each byte that is not valid UTF-8 a
 * question mark; with ascii, each character beyond ASCII too. What does not fit is cut off between
 * characters. line has room for room bytes (at least 1), the last of which is NUL. Looks at no more of text
 * than fits. True: the line is what text was. Any thread; neither fails nor allocates. */
bool mqlua_line_clean(char *line, size_t room, const char *text, size_t size, bool ascii);
