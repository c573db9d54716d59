/* SPDX-License-Identifier: MIT */

#include "api/assign.h"
#include "api/address.h"
#include "api/message_host.h"
#include "base/ascii.h"
#include "base/email.h"

#include <string.h>

/* A text that is no address as it stands, between its parts. */
typedef struct given {
    lua_State *L;
    const char *text;
    size_t size, at; /* at: of the last @ */
} given;

/* Puts text in place of what is at index. */
static void put(lua_State *L, int index, const char *text, size_t size)
{
    lua_pushlstring(L, text, size);
    lua_replace(L, index);
}

/* Where part begins in the first size bytes of text, but for case; NULL: nowhere. */
static const char *find(const char *text, size_t size, const char *part, size_t part_size)
{
    for (size_t i = 0; part_size && i + part_size <= size; i++)
        if (mqlua_ascii_same(text + i, part, part_size))
            return text + i;
    return NULL;
}

/* Is the local part right, when one letter stands for the bytes from part on? */
static bool is_right(const given *g, size_t part, size_t part_size)
{
    char rest[MQLUA_EMAIL_READ + 16], *end = mempcpy(rest, g->text, part);
    if (part_size)
        *end++ = 'x';
    end = mempcpy(end, g->text + part + part_size, g->at - part - part_size);
    end = mempcpy(end, "@x", 2);
    return !mqlua_email_wrong(rest, (size_t)(end - rest));
}

/* What of the text is explained by an address of a client. */
typedef struct explained {
    bool whole, local, domain;
} explained;

static void explain(const given *g, const char *text, size_t size, explained *by)
{
    char part[MQLUA_EMAIL_KEY];
    mqlua_email email;
    mqlua_email_read(&email, text, size);
    if (email.size > MQLUA_EMAIL_READ)
        return;
    by->whole |= email.size == g->size && memcmp(email.text, g->text, g->size) == 0;
    size_t local = mqlua_email_local(&email, part);
    const char *found = find(g->text, g->at, part, local);
    if (found)
        by->local |= is_right(g, (size_t)(found - g->text), local);
    else if (!local && email.local_end > email.local) /* "" in quotes */
        by->local |= g->at == 0;
    size_t domain = mqlua_email_domain(&email, false, part);
    by->domain |= domain == g->size - g->at - 1 && memcmp(part, g->text + g->at + 1, domain) == 0;
}

/* Leaves what the text means for mail at index, if clients explain what is wrong with it. */
static bool take_explained(given *g, int index)
{
    const char *text, *at = memrchr(g->text, '@', g->size);
    size_t size;
    explained by = {false, false, false};
    g->at = at ? (size_t)(at - g->text) : g->size;
    if (g->at > MQLUA_EMAIL_READ)
        return false;
    for (const mqlua_message *m = mqlua_env_of(g->L)->messages; m; m = m->next) {
        mqlua_vm_charge(g->L, 100);
        if (mqlua_message_text(m, "recipient", &text, &size))
            explain(g, text, size, &by);
        if (mqlua_message_text(m, "envelope", &text, &size))
            explain(g, text, size, &by);
    }
    if (by.whole || !at)
        return by.whole;
    if (memchr(g->text, '\r', g->size) || memchr(g->text, '\n', g->size))
        return false; /* whoever sent it: it would end the command */
    if (!by.domain && mqlua_email_wrong_domain(at + 1, g->size - g->at - 1))
        return false;
    char quoted[2 * MQLUA_EMAIL_READ + 2];
    if (by.local)
        lua_pushlstring(g->L, quoted, mqlua_email_quote(g->text, g->at, quoted));
    else if (is_right(g, 0, 0))
        lua_pushlstring(g->L, g->text, g->at);
    else
        return false;
    lua_pushlstring(g->L, at, g->size - g->at);
    lua_concat(g->L, 2);
    lua_replace(g->L, index);
    return true;
}

/* For a message: what is no plain ASCII becomes a question mark. */
static const char *push_shown(lua_State *L, const char *text, size_t size)
{
    char shown[84];
    size_t used = 0;
    for (; used < size && used < 80; used++)
        shown[used] = text[used] >= ' ' && text[used] < 0x7f ? text[used] : '?';
    memcpy(shown + used, used < size ? "..." : "", 4 * (used < size) + (used == size));
    lua_pushstring(L, shown);
    return lua_tostring(L, -1);
}

static void take_text(lua_State *L, const char *what, int index)
{
    given g = {.L = L};
    g.text = lua_tolstring(L, index, &g.size);
    const char *wrong = mqlua_email_wrong(g.text, g.size);
    if (!wrong || (!memchr(g.text, 0, g.size) && take_explained(&g, index)))
        return;
    luaL_error(L, "%s must be an address such as \"user@example.com\": \"%s\" %s", what,
               push_shown(L, g.text, g.size), wrong);
}

void mqlua_assign_address(lua_State *L, const char *what, int index, bool may_be_null)
{
    const char *email = NULL;
    size_t size = 0;
    bool is_object = mqlua_address_get(L, index, &email, &size);
    if (!is_object && !lua_isnil(L, index)) {
        if (lua_type(L, index) != LUA_TSTRING)
            luaL_error(L, "%s must be a string or an address, got a %s", what, luaL_typename(L, index));
        email = lua_tolstring(L, index, &size);
        if (size == 2 && memcmp(email, "<>", 2) == 0)
            size = 0;
    }
    if (!size && !may_be_null)
        luaL_error(L, "%s must be an address, got %s", what, lua_isnil(L, index) ? "nil" : "the null sender");
    if (!size)
        lua_pushnil(L);
    if (!size)
        lua_replace(L, index);
    else if (is_object)
        put(L, index, email, size);
    else
        take_text(L, what, index);
}
