/* SPDX-License-Identifier: MIT */

/* Any bytes as the beginning of a connection: a verdict never depends on how they arrive. */

#undef NDEBUG /* the checks are what it is for */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "host/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct host_proxy whole, part;
    size_t used, part_used;
    enum host_proxy_status last = HOST_PROXY_MORE;
    enum host_proxy_status status = host_proxy_parse(data, size, &whole, &used);
    assert(status != HOST_PROXY_DONE || (used <= size && used > 0));
    assert(status == HOST_PROXY_DONE || !whole.known);
    for (size_t length = 0; length <= size && length <= 600 && last == HOST_PROXY_MORE; length++) {
        last = host_proxy_parse(data, length, &part, &part_used);
        /* a beginning may be bad or done only when the whole is the same */
        assert(last == HOST_PROXY_MORE || last == status);
        assert(last != HOST_PROXY_DONE || (part_used == used && memcmp(&part, &whole, sizeof part) == 0));
    }
    return 0;
}
