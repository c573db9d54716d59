/* SPDX-License-Identifier: MIT */

#include "plugin/arguments.h"
#include "vm/bytes.h"
#include "vm/refs.h"
#include <stdlib.h>
#include <string.h>

static void push_chunk(lua_State *L, mqlua_run *run)
{
    if (run->chunk != LUA_NOREF) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, run->chunk);
        return;
    }
    mqlua_bytes_push(L, run->given.bytes, run->given.bytes_size, &run->chunk_slot);
    lua_pushvalue(L, -1);
    run->chunk = mqlua_refs_add(L);
}

static void push_secret(lua_State *L, const char *text, size_t size)
{
    if (text)
        lua_pushlstring(L, text, size);
    else
        lua_pushnil(L);
}

int mqlua_arguments_push(lua_State *L)
{
    mqlua_run *run = mqlua_task_data(mqlua_task_current(mqlua_vm_of(L)));
    if (run->stage == MQLUA_RUN_ON_ERROR) {
        lua_pushstring(L, run->error ? run->error : "not enough memory");
        return 1;
    }
    mqlua_connection_push(L, run->peer ? &run->peer->connection : &run->own);
    switch (run->event) {
    case MQLUA_IN_AUTHENTICATE:
        push_secret(L, run->given.login, run->given.login_size);
        push_secret(L, run->given.password, run->given.password_size);
        return 3;
    case MQLUA_IN_MAILFROM:
        mqlua_address_push(L, run->email, NULL);
        return 2;
    case MQLUA_IN_RCPTTO:
        mqlua_address_push(L, run->email, &run->local);
        return 2;
    case MQLUA_IN_DATA:
        push_chunk(L, run);
        return 2;
    case MQLUA_IN_MESSAGE:
    case MQLUA_OUT_DATA:
    case MQLUA_OUT_SENT:
        mqlua_message_push(L, &run->message);
        return 2;
    default:
        return 1;
    }
}

/* ---- across a pause ---- */

static char *copy(const char *text, size_t size)
{
    char *bytes = malloc(size + 1);
    if (bytes) {
        memcpy(bytes, text, size);
        bytes[size] = '\0';
    }
    return bytes;
}

static bool keep_credentials(mqlua_run *run)
{
    if (run->given.login && !run->login_copy)
        run->given.login = run->login_copy = copy(run->given.login, run->given.login_size);
    if (run->given.password && !run->password_copy)
        run->given.password = run->password_copy = copy(run->given.password, run->given.password_size);
    return (!run->given.login_size || run->given.login) && (!run->given.password_size || run->given.password);
}

static int detach_chunk(lua_State *L)
{
    mqlua_run *run = lua_touserdata(L, 1);
    push_chunk(L, run);
    mqlua_bytes_detach(L, -1);
    return 0;
}

bool mqlua_arguments_keep(mqlua_run *run)
{
    run->given.address = NULL;
    run->local.host = NULL;
    run->local.unavailable = "it can be used only before the handler waits for the first time";
    if (run->event == MQLUA_IN_AUTHENTICATE)
        return keep_credentials(run);
    if (run->event != MQLUA_IN_DATA)
        return true;
    bool kept = mqlua_vm_setup(run->state->env.vm, detach_chunk, run, NULL) == 0;
    run->chunk_slot.serial++; /* other views on it end with the callback */
    return kept;
}

static void wipe(char *text, size_t size)
{
    if (text)
        explicit_bzero(text, size);
    free(text);
}

static void forget_credentials(mqlua_run *run)
{
    wipe(run->login_copy, run->given.login_size);
    wipe(run->password_copy, run->given.password_size);
    run->login_copy = run->password_copy = NULL;
}

void mqlua_arguments_free(mqlua_run *run)
{
    run->chunk_slot.serial++;
    run->local.slot.serial++;
    run->local.host = NULL;
    run->local.staged = false;
    if (run->login_copy || run->password_copy)
        forget_credentials(run);
    if (run->chunk != LUA_NOREF)
        mqlua_refs_drop(run->state->env.vm, run->chunk);
    run->chunk = LUA_NOREF;
}
