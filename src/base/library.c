/* SPDX-License-Identifier: MIT */

#include "base/library.h"

#include <dlfcn.h>
#include <string.h>

/* RTLD_DEEPBIND: the library's calls of its own functions must not land in those of the host. The sanitizers
 * do not work with it. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
enum { OWN_CALLS = 0 };
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
enum { OWN_CALLS = 0 };
#else
enum { OWN_CALLS = RTLD_DEEPBIND };
#endif
#else
enum { OWN_CALLS = RTLD_DEEPBIND };
#endif

bool mqlua_library_open(const char *soname, const mqlua_library_symbol *symbols, void *table, size_t size)
{
    memset(table, 0, size);
    void *handle = dlopen(soname, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE | OWN_CALLS);
    for (const mqlua_library_symbol *symbol = symbols; handle && symbol->name; symbol++) {
        void *address = dlsym(handle, symbol->name);
        if (!address) {
            memset(table, 0, size);
            dlclose(handle);
            return false;
        }
        memcpy((char *)table + symbol->offset, &address, sizeof address);
    }
    return handle != NULL;
}
