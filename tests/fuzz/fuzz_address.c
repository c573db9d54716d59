/* SPDX-License-Identifier: MIT */

/* Any text as an address that the host gives: its parts make the whole, and the whole is an address again. */

#include "api/address.h"
#include "vm/vm.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char source[] =
    "local a = ...\n"
    "local email, localpart, domain = a.email, a.localpart, a.domain\n"
    "assert(a.is_null == (email == nil))\n"
    "if email == nil then assert(tostring(a) == '<>' and localpart == nil and domain == nil) return end\n"
    "assert(tostring(a) == email)\n"
    "if domain then\n"
    "  assert(domain ~= '' and not domain:find('@', 1, true))\n"
    "  assert(email:sub(1, #localpart + 1) == localpart .. '@' and email:sub(#localpart + 2):lower() == "
    "domain)\n"
    "else\n"
    "  assert(localpart == email or localpart .. '@' == email)\n"
    "end\n";

static int prepare(lua_State *L)
{
    mqlua_address_open(L);
    if (luaL_loadbuffer(L, source, sizeof source - 1, "=parts"))
        lua_error(L);
    lua_setfield(L, LUA_REGISTRYINDEX, "parts");
    return 0;
}

static int run(lua_State *L)
{
    const char *text = lua_touserdata(L, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, "parts");
    mqlua_address_push(L, text, NULL);
    lua_pushvalue(L, -1);
    lua_insert(L, 2);
    lua_call(L, 1, 0);
    const char *email = mqlua_address_text(L, 2);
    if (email && strlen(email) > strlen(text))
        return luaL_error(L, "longer than what was given");
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static mqlua_vm *vm;
    mqlua_vm_limits limits = {.memory = (size_t)1 << 28};
    char *error = NULL, *text = malloc(size + 1);
    if (!text)
        return 0;
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    if (!vm) {
        vm = mqlua_vm_new(&limits);
        mqlua_vm_setup(vm, prepare, NULL, NULL);
    }
    if (mqlua_vm_call(vm, run, text, &error)) {
        fprintf(stderr, "%s\n", error ? error : "no message");
        abort();
    }
    free(text);
    return 0;
}
