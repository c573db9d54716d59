/* SPDX-License-Identifier: MIT */

/* Kept policies from any bytes. A checksum would stop nearly every input, so it is put right first: what is
 * behind it is under test. */

#include "policy/bundle.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    XXH128_canonical_t sum;
    char *error = NULL;
    char *copy = malloc(size + sizeof sum);
    if (!copy)
        return 0;
    memcpy(copy, data, size);
    XXH128_canonicalFromHash(&sum, XXH3_128bits(copy, size));
    memcpy(copy + size, sum.digest, sizeof sum.digest);
    mqlua_bundle *bundle = mqlua_bundle_parse(copy, size + sizeof sum, "kept", &error);
    if (bundle ? error != NULL : error == NULL)
        abort();
    if (bundle &&
        (!mqlua_bundle_sealed(bundle) || !mqlua_bundle_entry(bundle) || mqlua_bundle_owned_by(bundle, 0)))
        abort();
    mqlua_bundle_unref(bundle);
    free(error);
    free(copy);
    return 0;
}
