/* SPDX-License-Identifier: MIT */

/* mq.json.decode on any bytes; what it accepts must survive encode and decode. */

#include "json/text.h"
#include "vm/vm.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct input {
    const uint8_t *data;
    size_t size;
} input;

static int open_json(lua_State *L)
{
    lua_newtable(L);
    mqlua_json_open(L);
    return 0;
}

/* Calls encode({value}) with sorted keys; the value is on top and is replaced by the text. */
static void encode(lua_State *L)
{
    lua_pushcfunction(L, mqlua_encode_l_encode);
    lua_insert(L, -2);
    lua_createtable(L, 0, 1);
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "sort_keys");
    lua_call(L, 2, 1);
}

static int run(lua_State *L)
{
    const input *in = lua_touserdata(L, 1);
    lua_pushcfunction(L, mqlua_text_l_decode);
    lua_pushlstring(L, (const char *)in->data, in->size);
    lua_call(L, 1, 2);
    if (lua_isnil(L, -2))
        return lua_type(L, -1) == LUA_TSTRING ? 0 : luaL_error(L, "refused without a message");
    lua_pop(L, 1);
    encode(L);
    lua_pushcfunction(L, mqlua_text_l_decode);
    lua_pushvalue(L, -2);
    lua_call(L, 1, 1);
    encode(L);
    if (!lua_rawequal(L, -1, -2))
        return luaL_error(L, "%s became %s", lua_tostring(L, -2), lua_tostring(L, -1));
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static mqlua_vm *vm;
    mqlua_vm_limits limits = {.memory = (size_t)1 << 28};
    if (!vm) {
        vm = mqlua_vm_new(&limits);
        mqlua_vm_setup(vm, open_json, NULL, NULL);
    }
    input in = {data, size};
    char *error = NULL;
    if (mqlua_vm_call(vm, run, &in, &error)) {
        fprintf(stderr, "%s\n", error ? error : "no message");
        abort();
    }
    return 0;
}
