/* SPDX-License-Identifier: MIT */

#include "policy/others.h"
#include "policy/bundle_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct other {
    const char *name, *text;
    size_t size;
} other;

static int compile(lua_State *L)
{
    const other *o = lua_touserdata(L, 1);
    const char *chunk = lua_pushfstring(L, "@%s", o->name);
    return luaL_loadbufferx(L, o->text, o->size, chunk, "t") ? lua_error(L) : 0;
}

static bool is_test(const char *name)
{
    static const char end[] = "_test.lua";
    size_t size = strlen(name);
    return size >= sizeof end - 1 && strcmp(name + size - (sizeof end - 1), end) == 0;
}

/* What is wrong with it, malloc'ed; NULL: nothing. */
static char *check_one(mqlua_vm *vm, int folder, const char *name)
{
    struct stat st;
    char *error = NULL;
    other o = {.name = name};
    char *text = mqlua_bundle_read(folder, name, &o.size, &st, &error);
    if (!text)
        return error;
    o.text = text;
    mqlua_vm_call(vm, compile, &o, &error);
    free(text);
    return error;
}

void mqlua_others_check(mqlua_vm *vm, const mqlua_bundle *bundle, void (*found)(void *ud, const char *text),
                        void *ud)
{
    mqlua_listing listing = {0};
    char *error = NULL;
    int folder = open(bundle->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0 && !mqlua_listing_read(&listing, folder, bundle->folder, &error) && error)
        found(ud, error);
    free(error);
    for (size_t i = 0; i < listing.count; i++) {
        const char *name = listing.files[i].name;
        if (is_test(name) || mqlua_bundle_find(bundle, name, MQLUA_FILE_LUA))
            continue;
        char *wrong = check_one(vm, folder, name), *text = NULL;
        if (wrong && asprintf(&text,
                              "%s does not belong to the policy, because nothing requires it, and does not "
                              "compile: %.*s",
                              name, (int)strcspn(wrong, "\n"), wrong) >= 0)
            found(ud, text);
        free(text);
        free(wrong);
    }
    mqlua_listing_free(&listing);
    if (folder >= 0)
        close(folder);
}
