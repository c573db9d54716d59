/* SPDX-License-Identifier: MIT */

#include "api/move.h"
#include "api/generation.h"
#include "api/on.h"
#include "api/report.h"
#include "json/value.h"
#include "vm/copy.h"
#include "vm/refs.h"
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
              "dropped; only plain values do (logged once per worker)",
              (unsigned long long)to->generation, mqlua_bundle_hash(to->bundle), what, copy->path,
              copy->type);
}

/* Once per generation, too: this is no failure of a handler, and one table may be shared by all connections.
 */
static void tell_lost(mqlua_env *env, const char *what, const char *path, const char *reason)
{
    if (env->lost_told)
        return;
    env->lost_told = true;
    mqlua_log(env->symbols, MQLUA_LOG_WARN,
              "mailerq-lua: [generation %llu, %.8s] %s%s was lost on the way to another generation: %s "
              "(logged once per worker)",
              (unsigned long long)env->generation, mqlua_bundle_hash(env->bundle), what, path,
              reason ? reason : "not enough memory");
}

typedef struct move {
    mqlua_vm *from, *to;
    mqlua_env *teller; /* in whose name it is logged */
    uint64_t *numbers; /* see mqlua_copy */
} move;

/* The reference in to for what reference stands for in from; LUA_NOREF: nothing. */
static int move_reference(const move *m, int reference, const char *what)
{
    mqlua_copy copy = {.other = mqlua_value_carry, .mark = mqlua_value_carry_mark, .numbers = m->numbers};
    char *error = NULL;
    int moved = LUA_NOREF;
    if (!m->from || reference == LUA_NOREF)
        return LUA_NOREF;
    if (!mqlua_copy_reference(&copy, m->from, reference, m->to, &moved, &error))
        tell_lost(m->teller, what, "", error);
    else if (copy.lost[0])
        tell_lost(m->teller, what, copy.lost_path, copy.lost);
    if (copy.type)
        tell_dropped(m->teller, what, &copy);
    free(error);
    return moved;
}

void mqlua_move_connection(mqlua_connection *c, mqlua_env *to, uint64_t *numbers)
{
    /* from NULL: there was no policy */
    move m = {.from = c->env ? c->env->vm : NULL, .to = to->vm, .teller = to, .numbers = numbers};
    int vars = move_reference(&m, c->vars, "connection.vars");
    int transaction_vars = move_reference(&m, c->transaction.vars, "connection.transaction.vars");
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
        call->result = mqlua_refs_add(L);
    return 0;
}

static int store_carried(lua_State *L)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, *(int *)lua_touserdata(L, 1));
    mqlua_generation_set_carried(L);
    return 0;
}

static int ask(mqlua_env *from)
{
    const mqlua_handlers *handlers = &from->registry->events[MQLUA_RELOAD];
    reload_call call = {.result = LUA_NOREF};
    for (int i = 0; i < handlers->count && call.result == LUA_NOREF; i++) {
        char *error = NULL;
        call.function = handlers->list[i].function;
        if (mqlua_vm_call(from->vm, call_handler, &call, &error))
            mqlua_report(from, "a handler of reload failed", error ? error : "not enough memory");
        free(error);
    }
    return call.result;
}

struct mqlua_parcel {
    mqlua_vm *vm;
    int reference;
};

static int open_values(lua_State *L)
{
    mqlua_value_open(L);
    return 0;
}

static mqlua_parcel *parcel_new(const mqlua_settings *settings)
{
    mqlua_parcel *parcel = calloc(1, sizeof *parcel);
    if (!parcel)
        return NULL;
    parcel->reference = LUA_NOREF;
    parcel->vm = mqlua_vm_new(&settings->limits);
    if (parcel->vm && mqlua_vm_setup(parcel->vm, open_values, NULL, NULL) == 0)
        return parcel;
    mqlua_parcel_free(parcel);
    return NULL;
}

mqlua_parcel *mqlua_parcel_pack(mqlua_env *from)
{
    int result = ask(from);
    if (result == LUA_NOREF)
        return NULL;
    mqlua_parcel *parcel = parcel_new(from->settings);
    if (parcel) {
        move m = {.from = from->vm, .to = parcel->vm, .teller = from};
        parcel->reference = move_reference(&m, result, "what the reload handler returned");
    }
    mqlua_refs_drop(from->vm, result);
    return parcel;
}

void mqlua_parcel_unpack(const mqlua_parcel *parcel, mqlua_env *to)
{
    char *error = NULL;
    if (!parcel)
        return;
    move m = {.from = parcel->vm, .to = to->vm, .teller = to};
    int moved = move_reference(&m, parcel->reference, "mq.generation.carried");
    if (moved != LUA_NOREF && mqlua_vm_setup(to->vm, store_carried, &moved, &error))
        tell_lost(to, "mq.generation.carried", "", error);
    free(error);
    mqlua_refs_drop(to->vm, moved);
}

void mqlua_parcel_free(mqlua_parcel *parcel)
{
    if (!parcel)
        return;
    mqlua_vm_free(parcel->vm);
    free(parcel);
}
