/* SPDX-License-Identifier: MIT */

/* Any bytes as replies of a server: the same in one piece and byte by byte. */

#undef NDEBUG /* the checks are what it is for */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "host/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *in = (const char *)data;
    struct host_reply whole = {0}, bytes = {0};
    enum host_reply_state state, state2 = HOST_REPLY_MORE;
    size_t used, at = 0, taken;
    state = host_reply_feed(&whole, in, size, &used);
    for (; at < size && state2 == HOST_REPLY_MORE; at++)
        state2 = host_reply_feed(&bytes, in + at, 1, &taken);
    assert(used <= size && state == state2);
    if (state == HOST_REPLY_DONE) {
        assert(at == used && whole.code == bytes.code && whole.lines == bytes.lines);
        assert(whole.code >= 200 && whole.code <= 599);
        assert(strcmp(whole.status, bytes.status) == 0 && strlen(whole.status) < sizeof whole.status);
        assert(whole.text.size == bytes.text.size && whole.text.size <= HOST_REPLY_TEXT_MAX);
        const char *argument;
        size_t argument_size;
        if (host_reply_offers(&whole, "AUTH", &argument, &argument_size))
            assert(argument >= whole.text.data &&
                   argument + argument_size <= whole.text.data + whole.text.size);
    }
    host_reply_free(&whole);
    host_reply_free(&bytes);
    return 0;
}
