/* SPDX-License-Identifier: MIT */
#pragma once

/* The application log: MQ_log where the host has it (5.6.5 and later), else standard error. Any thread. */

#include "mq/symbols.h"
#include <stdarg.h>

/* Writes one line: control characters become spaces or \xNN, at most 1,000 bytes. symbols may be NULL. Never
 * fails. */
void mqlua_log(const mqlua_symbols *symbols, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Several lines, such as a traceback: one log line each, at most 20. */
void mqlua_log_lines(const mqlua_symbols *symbols, int level, const char *text);
