/* SPDX-License-Identifier: MIT */

/* Settings from any text: either settings, or an error with a place in that text. */

#include "policy/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *error = NULL;
    int line, column;
    mqlua_settings *settings = mqlua_settings_parse((const char *)data, size, "s", &error);
    if (settings ? error != NULL : error == NULL)
        abort();
    if (error && strcmp(error, "s: host.read_flag and host.write_flag must differ") != 0 &&
        (sscanf(error, "s:%d:%d: ", &line, &column) != 2 || line == 0))
        abort();
    mqlua_settings_free(settings);
    free(error);
    return 0;
}
