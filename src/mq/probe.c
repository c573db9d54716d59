/* SPDX-License-Identifier: MIT */

/*
 * Constants and shapes of the header that this was built against. CMake defines PROBE_<name> for each
 * question that the vendor's header answers; without that header ours stands in, whose values only the
 * stand-in host accepts. This file must not include symbols.h: its types may differ from the vendor's.
 */

#include <stdbool.h>
#include <stddef.h>
#ifdef MQLUA_VENDOR
#include <mailerq.h>
#else
#include "../../include/mailerq.h"
#define PROBE_API_VERSION MQ_API_VERSION
#define PROBE_READ        MQ_READ
#define PROBE_WRITE       MQ_WRITE
#endif

struct json_object;
struct fjson_object;

#ifndef PROBE_API_VERSION
#define PROBE_API_VERSION -1
#endif
#ifndef PROBE_READ
#define PROBE_READ -1
#endif
#ifndef PROBE_WRITE
#define PROBE_WRITE -1
#endif
#ifndef PROBE_RECIPIENT
#define PROBE_RECIPIENT -1
#endif
#ifndef PROBE_ENVELOPE
#define PROBE_ENVELOPE -1
#endif
#ifndef PROBE_LOCAL
#define PROBE_LOCAL -1
#endif
#ifndef PROBE_SETLOCAL
#define PROBE_SETLOCAL -1
#endif
#ifndef PROBE_JSON
#define PROBE_JSON -1
#endif

#include "mq/probe.h"

/* Functions that go together and do not agree: then nothing is known, and neither is called. */
#define BOTH(one, other) ((one) == (other) ? (one) : -1)

const mqlua_probe mqlua_probe_found = {
#ifdef MQLUA_VENDOR
    .vendor = true,
#endif
    .api_version = PROBE_API_VERSION,
    .read_flag = PROBE_READ,
    .write_flag = PROBE_WRITE,
    .recipient_is_address = BOTH(PROBE_RECIPIENT, PROBE_ENVELOPE),
    .local_on_address = BOTH(PROBE_LOCAL, PROBE_SETLOCAL),
    .json_is_fastjson = PROBE_JSON,
};
