/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

/* What the probe of the vendor's mailerq.h found at build time; -1 where it found nothing. */
typedef struct mqlua_probe {
    bool vendor; /* built against the vendor's header */
    int api_version, read_flag, write_flag;
    int recipient_is_address; /* 1: MQ_recipient and MQ_envelope return addresses; 0: strings */
    int local_on_address;     /* 1: MQ_local and MQ_setLocal take an MQ_Address; 0: an MQ_Message */
    int json_is_fastjson;
} mqlua_probe;

extern const mqlua_probe mqlua_probe_found;
