/* SPDX-License-Identifier: MIT */

/* Header fields of any bytes: the list of all agrees with asking for each, values are unfolded, and MIME that
 * is taken from a policy has whole line ends. */

#include "api/headers.h"
#include "api/compose.h"
#include "vm/bytes.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct input {
    const char *data;
    size_t size;
} input;

/* How many of the fields before this one have its name. */
static int same_before(lua_State *L, int list, int index, const char *name)
{
    int count = 0;
    for (int i = 1; i < index; i++) {
        size_t size;
        lua_rawgeti(L, list, i);
        lua_getfield(L, -1, "name");
        const char *other = lua_tolstring(L, -1, &size);
        count += strlen(other) == size && strcasecmp(other, name) == 0;
        lua_pop(L, 2);
    }
    return count;
}

static int fields(lua_State *L)
{
    const input *in = lua_touserdata(L, 1);
    mqlua_headers_push_all(L, in->data, in->size);
    for (int i = 1; i <= (int)lua_objlen(L, 2) && i <= 64; i++) {
        size_t name_size, value_size;
        lua_rawgeti(L, 2, i);
        lua_getfield(L, 3, "name");
        lua_getfield(L, 3, "value");
        const char *name = lua_tolstring(L, 4, &name_size), *value = lua_tolstring(L, 5, &value_size);
        if (memchr(value, '\r', value_size) || memchr(value, '\n', value_size))
            return luaL_error(L, "a value with a line end");
        if (strlen(name) == name_size) {
            if (!mqlua_headers_push(L, in->data, in->size, name, same_before(L, 2, i, name) + 1) ||
                !lua_rawequal(L, 5, 6))
                return luaL_error(L, "field %d is not found again", i);
        }
        lua_settop(L, 2);
    }
    return 0;
}

static int written(lua_State *L)
{
    const input *in = lua_touserdata(L, 1);
    size_t size;
    lua_pushlstring(L, in->data, in->size);
    mqlua_compose_check(L, 2, false); /* raises for what is none */
    const char *mime;
    mqlua_bytes_to(L, 2, &mime, &size);
    for (size_t i = 0; i < size; i++)
        if ((mime[i] == '\n' && (!i || mime[i - 1] != '\r')) ||
            (mime[i] == '\r' && (i + 1 == size || mime[i + 1] != '\n')) || !mime[i])
            abort();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static mqlua_vm *vm;
    mqlua_vm_limits limits = {.memory = (size_t)1 << 28};
    input in = {(const char *)data, size};
    char *error = NULL;
    if (!vm)
        vm = mqlua_vm_new(&limits);
    if (mqlua_vm_call(vm, fields, &in, &error)) {
        fprintf(stderr, "%s\n", error ? error : "no message");
        abort();
    }
    if (mqlua_vm_call(vm, written, &in, &error) && (!error || strncmp(error, "mime ", 5) != 0)) {
        fprintf(stderr, "%s\n", error ? error : "no message");
        abort();
    }
    free(error);
    return 0;
}
