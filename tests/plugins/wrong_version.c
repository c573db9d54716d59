/* SPDX-License-Identifier: MIT */

/* A version of the plugin API that nobody has. */

#include "mailerq.h"

int mq_version(void)
{
    return 1;
}
