/* SPDX-License-Identifier: MIT */
#pragma once

/* What the deliberately wrong plugins have in common: each breaks one rule of the stand-in host. */

#include "mailerq.h"

int mq_version(void)
{
    return MQ_API_VERSION;
}
