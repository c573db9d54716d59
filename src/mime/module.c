/* SPDX-License-Identifier: MIT */

#include "mime/module.h"
#include "base/error.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define NAME "modules/mime.so"

struct mqlua_mime_module {
    pthread_mutex_t lock;
    const mqlua_mime_library *library;
    atomic_size_t copies;
};

mqlua_mime_module *mqlua_mime_module_new(void)
{
    mqlua_mime_module *module = calloc(1, sizeof *module);
    if (module)
        pthread_mutex_init(&module->lock, NULL);
    return module;
}

void mqlua_mime_module_free(mqlua_mime_module *module)
{
    if (!module)
        return;
    pthread_mutex_destroy(&module->lock);
    free(module);
}

/* Beside the file that this code is in, links followed; else where it is installed, for a plugin that was
 * copied away from there. */
static void find(char path[PATH_MAX + sizeof NAME])
{
    Dl_info info;
    char own[PATH_MAX];
    if (dladdr((void *)mqlua_mime_module_new, &info) && info.dli_fname && realpath(info.dli_fname, own)) {
        char *slash = strrchr(own, '/');
        snprintf(path, PATH_MAX + sizeof NAME, "%.*s/" NAME, (int)(slash - own), own);
        if (access(path, R_OK) == 0)
            return;
    }
    snprintf(path, PATH_MAX + sizeof NAME, "%s", MQLUA_MODULES NAME);
}

/* The functions of GLib and GMime that the module calls must be those of its own libraries: a host may export
 * others of the same names. */
static bool is_own(void *handle, const char *function, const char *library)
{
    Dl_info info;
    void *address = dlsym(handle, function);
    return address && dladdr(address, &info) && info.dli_fname && strstr(info.dli_fname, library);
}

static const mqlua_mime_library *load(char **error)
{
    char path[PATH_MAX + sizeof NAME];
    int flags = RTLD_NOW | RTLD_LOCAL;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(MQLUA_PLAIN_BLOCKS)
    flags |= RTLD_DEEPBIND; /* sanitizers refuse that flag */
#endif
    find(path);
    void *handle = dlopen(path, flags);
    if (!handle) {
        mqlua_error_set(error, "the module for MIME cannot be loaded: %s", dlerror());
        return NULL;
    }
    const mqlua_mime_library *library = dlsym(handle, "mqlua_mime_library_table");
    if (!library || library->version != MQLUA_MIME_LIBRARY)
        mqlua_error_set(error, "%s is of another version than the plugin", path);
    else if (!is_own(handle, "g_malloc", "libglib-2.0") ||
             !is_own(handle, "g_mime_content_type_parse", "libgmime-3.0"))
        mqlua_error_set(error,
                        "the host exports GLib or GMime itself: the module for MIME cannot be used here");
    else
        return library; /* and keeps the handle: GLib cannot be unloaded */
    dlclose(handle);
    return NULL;
}

const mqlua_mime_library *mqlua_mime_module_get(mqlua_mime_module *module, char **error)
{
    pthread_mutex_lock(&module->lock);
    if (!module->library)
        module->library = load(error);
    const mqlua_mime_library *library = module->library;
    pthread_mutex_unlock(&module->lock);
    return library;
}

bool mqlua_mime_module_take(mqlua_mime_module *module, size_t size)
{
    size_t before = atomic_fetch_add(&module->copies, size);
    if (!before || before + size <= MQLUA_MIME_COPIES)
        return true;
    mqlua_mime_module_give(module, size);
    return false;
}

void mqlua_mime_module_give(mqlua_mime_module *module, size_t size)
{
    atomic_fetch_sub(&module->copies, size);
}
