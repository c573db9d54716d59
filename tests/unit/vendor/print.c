/* SPDX-License-Identifier: MIT */

/* What the probe found in the mailerq.h that this was built with. */

#include <stdio.h>

#include "mq/probe.h"

int main(void)
{
    const mqlua_probe *found = &mqlua_probe_found;
    printf("%d %d %d %d %d %d %d\n", found->vendor, found->api_version, found->read_flag, found->write_flag,
           found->recipient_is_address, found->local_on_address, found->json_is_fastjson);
    return 0;
}
