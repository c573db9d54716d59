/* SPDX-License-Identifier: MIT */

#include "api/move.h"
#include "api/generation.h"
#include "api/report.h"
#include "json/value.h"
#include "vm/copy.h"
#include <stdlib.h>

/* Once per generation: a policy that does this does it with every connection. */
static void tell_dropped(mqlua_env *to, const char *what, const mqlua_copy *copy)
{
    if (to->drop_told)
        return;
    to->drop_told = true;
    mqlua_log(to->symbols, MQLUA_LOG_WARN,
              "mailerq-lua: [generation %llu, %.8s] %s%s holds a %s, which does not move to another "
              "generation and is "
              "dropped; only plain values do (this is logged once)",
              (unsigned long long)to->generation, mqlua_bundle_hash(to->bundle), what, copy->path,
              copy->type);
}

/* The reference in to for what reference stands for in from; LUA_NOREF: nothing. */
static int move_reference(mqlua_env *from, int reference, mqlua_env *to, const char *what)
{
    mqlua_copy copy = {.other = mqlua_value_carry, .mark = mqlua_value_carry_mark};
    char *error = NULL;
    if (!from || !to || reference == LUA_NOREF)
        return LUA_NOREF;
    int moved = LUA_NOREF;
    bool failed = !mqlua_copy_reference(&copy, from->vm, reference, to->vm, &moved, &error);
    if (copy.type)
        tell_dropped(to, what, &copy);
    if (failed)
        mqlua_report(to, "values were lost on the way to this generation",
                     error ? error : "not enough memory");
    free(error);
    return moved;
}

void mqlua_move_connection(mqlua_connection *c, mqlua_env *to)
{
    int vars = move_reference(c->env, c->vars, to, "connection.vars");
    int transaction_vars = move_reference(c->env, c->transaction.vars, to, "connection.transaction.vars");
    mqlua_connection_forget(c);
    c->env = to;
    c->vars = vars;
    c->transaction.vars = transaction_vars;
}

/* ---- mq.on("reload", fn) ---- */

typedef struct reload_call {
    int function;
    int result; /* reference, LUA_NOREF: nil */
} reload_call;

static int call_handler(lua_State *L)
{
    reload_call *call = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, call->function);
    lua_call(L, 0, 1);
    if (!lua_isnil(L, -1))
        call->result = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static int store_carried(lua_State *L)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, *(int *)lua_touserdata(L, 1));
    mqlua_generation_set_carried(L);
    return 0;
}

static int ask(mqlua_state *from)
{
    const mqlua_handlers *handlers = &from->env.registry->events[MQLUA_RELOAD];
    reload_call call = {.result = LUA_NOREF};
    for (int i = 0; i < handlers->count && call.result == LUA_NOREF; i++) {
        char *error = NULL;
        call.function = handlers->list[i].function;
        if (mqlua_vm_call(from->env.vm, call_handler, &call, &error))
            mqlua_report(&from->env, "a handler of reload failed", error ? error : "not enough memory");
        free(error);
    }
    return call.result;
}

void mqlua_move_carried(mqlua_state *from, mqlua_state *to)
{
    int result = ask(from);
    int moved = move_reference(&from->env, result, &to->env, "what the reload handler returned");
    luaL_unref(mqlua_vm_state(from->env.vm), LUA_REGISTRYINDEX, result);
    if (moved == LUA_NOREF)
        return;
    mqlua_vm_setup(to->env.vm, store_carried, &moved, NULL);
    luaL_unref(mqlua_vm_state(to->env.vm), LUA_REGISTRYINDEX, moved);
}
