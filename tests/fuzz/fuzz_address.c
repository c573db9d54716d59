/* SPDX-License-Identifier: MIT */

/* Any text as an address: what base/email.h promises about reading, checking and spelling, and what Lua sees.
 */

#include "api/address.h"
#include "base/email.h"
#include "vm/vm.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char source[] =
    "local a, b = ...\n"
    "local email, localpart, domain = a.email, a.localpart, a.domain\n"
    "assert(a == b and a.is_null == (email == nil) and tostring(a) == (email or '<>'))\n"
    "if email == nil then assert(localpart == nil and domain == nil) return end\n"
    "assert(#localpart <= #email and a .. '' == email and string.len(a .. '') == #email)\n"
    "assert(domain == nil or domain ~= '' and domain == domain:lower() and domain:sub(-1) ~= '.')\n";

static void require(bool right)
{
    if (!right)
        abort();
}

/* A key is its own key, and the two are the same mailbox; so is the text with its local part in quotes. */
static void check_spelling(const char *text, size_t size)
{
    static char key[MQLUA_EMAIL_KEY], again[MQLUA_EMAIL_KEY], part[MQLUA_EMAIL_KEY],
        other[3 * MQLUA_EMAIL_KEY];
    mqlua_email email, twin;
    size_t key_size, again_size;
    if (size > MQLUA_EMAIL_READ)
        return;
    mqlua_email_read(&email, text, size);
    require(email.local <= email.local_end && email.local_end <= email.size &&
            email.domain <= email.domain_end);
    require(mqlua_email_same(&email, &email, false));
    size_t local = mqlua_email_local(&email, part), domain = mqlua_email_domain(&email, true, again);
    require(local <= size && domain <= 4 * size + MQLUA_EMAIL_MORE);
    const char *known = mqlua_email_key(&email, &key_size, key);
    require(key_size <= MQLUA_EMAIL_KEY);
    if (!domain || memchr(again, '@', domain))
        return;
    size_t used = mqlua_email_quote(part, local, other);
    other[used++] = '@';
    memcpy(other + used, again, domain);
    used += domain;
    if (used > MQLUA_EMAIL_READ)
        return;
    mqlua_email_read(&twin, other, used);
    const char *same = mqlua_email_key(&twin, &again_size, again);
    if (!memchr(email.text + email.domain, '"', email.domain_end - email.domain) &&
        !memchr(email.text + email.domain, '\\', email.domain_end - email.domain) &&
        !memchr(email.text + email.domain, '(', email.domain_end - email.domain))
        require(same && known && mqlua_email_same(&email, &twin, false));
}

/* What is right can be sent: no bytes that end or split a command, and a local part and a domain. */
static void check_rule(const char *text, size_t size)
{
    mqlua_email email;
    if (mqlua_email_wrong(text, size))
        return;
    require(size <= MQLUA_EMAIL_SIZE);
    for (size_t i = 0; i < size; i++)
        require((unsigned char)text[i] >= ' ' && text[i] != 0x7f);
    mqlua_email_read(&email, text, size);
    require(email.size == size && !email.local && email.local_end && email.domain < email.domain_end);
    require(mqlua_email_length(text, size) == size);
    require(!mqlua_email_wrong_domain(text + email.domain, email.domain_end - email.domain));
}

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
    mqlua_address_push(L, text, NULL);
    lua_call(L, 2, 0);
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
    check_spelling(text, size);
    check_rule(text, size);
    if (mqlua_vm_call(vm, run, text, &error)) {
        fprintf(stderr, "%s\n", error ? error : "no message");
        abort();
    }
    free(text);
    return 0;
}
