/* SPDX-License-Identifier: MIT */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void mqlua_error_set(char **error, const char *format, ...)
{
    if (!error || *error)
        return;
    va_list args;
    va_start(args, format);
    if (vasprintf(error, format, args) < 0)
        *error = NULL;
    va_end(args);
}

const char *mqlua_error_text(int number)
{
    const char *text = strerrordesc_np(number);
    return text ? text : "unknown error";
}
