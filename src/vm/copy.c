/* SPDX-License-Identifier: MIT */
#include "vm/copy_internal.h"
#include "vm/refs.h"

enum {
    SMALL_VALUES = 256,        /* of a member that may use the last room, */
    SMALL_BYTES = 16384,       /* and the bytes of its texts */
    VALUE_BYTES = 40,          /* that a member of a table takes, at most */
    NO_CAP = 64 * 1024 * 1024, /* bytes: what parts of the cap are parts of, where there is none */
};

/* ---- how much memory ---- */

static size_t cap_of(const copy_walk *w)
{
    return w->cap ? w->cap : NO_CAP;
}

/* From here to widen the target's cap is lower by 1/part, without the reserve of set-up; that it refuses
 * something is no reason to make the state anew. */
static void narrow(copy_walk *w, size_t part)
{
    mqlua_vm *vm = w->narrow = w->target;
    w->reserve = vm->reserve;
    w->pace = vm->pace;
    w->refused = vm->refused;
    w->crowded = vm->crowded;
    vm->limits.memory = w->cap - w->cap / part;
    vm->reserve = 0;
    vm->crowded = NULL;
}

static void widen(copy_walk *w)
{
    mqlua_vm *vm = w->narrow;
    if (!vm)
        return;
    w->narrow = NULL;
    vm->limits.memory = w->cap;
    vm->reserve = w->reserve;
    vm->pace = w->pace;
    vm->refused = w->refused;
    vm->crowded = w->crowded;
}

/* ---- member by member ---- */

/* WALK to ROOT are its arguments. */
static int l_copy_member(lua_State *to)
{
    copy_walk *w = lua_touserdata(to, WALK);
    lua_pushnil(to); /* FRESH */
    bool copied = lua_isnil(to, ROOT) ? mqlua_copy_value(w, VALUE) : mqlua_copy_pair(w, VALUE + 1);
    if (!copied)
        return 0;
    mqlua_copy_keep_fresh(to);
    if (lua_isnil(to, ROOT))
        return 1;
    lua_rawset(to, ROOT);
    return 0;
}

static bool call_member(copy_walk *w, int results)
{
    lua_State *to = w->to;
    int top = lua_gettop(w->from);
    copy_amount before = w->made;
    size_t path = w->path_size;
    w->limit = NULL;
    w->depth = lua_isnil(to, ROOT) ? 0 : 1;
    lua_pushvalue(to, COPY_MEMBER);
    for (int i = WALK; i <= ROOT; i++)
        lua_pushvalue(to, i);
    if (lua_pcall(to, 4, results, 0) == 0)
        return true;
    lua_pop(to, 1);
    lua_settop(w->from, top);
    mqlua_copy_leave_key(w, path);
    size_t bytes = (w->made.values - before.values) * VALUE_BYTES + (w->made.bytes - before.bytes);
    w->target->copies.spoiled += bytes;
    w->target->copies.waste += bytes;
    w->made = before;
    return false;
}

static size_t lower(size_t most, size_t bound)
{
    return most && most < bound ? most : bound;
}

/* For what is small there is room where there is none for what is large. */
static bool call_small(copy_walk *w, int results)
{
    copy_amount most = w->most;
    w->most.values = lower(most.values, w->made.values + SMALL_VALUES);
    w->most.bytes = lower(most.bytes, w->made.bytes + SMALL_BYTES);
    narrow(w, 8);
    bool good = call_member(w, results);
    widen(w);
    w->most = most;
    return good;
}

/* What was made in vain is collected before something else is tried: even a string may need much, when the
 * list of all strings has to grow. A full collection takes long, so it must give back a part of the cap.
 * Copying goes on behind it: what is in use of to is on its stack or in SEEN, and strings of from are in no
 * danger, because from's collector stands still. */
static void relieve(copy_walk *w)
{
    mqlua_copies *copies = &w->target->copies;
    size_t reserve = w->target->reserve;
    if (copies->waste <= cap_of(w) / 8)
        return;
    mqlua_vm_collect(w->target);
    w->target->reserve = reserve;
    copies->waste = 0;
}

/* Copies one member, or, without ROOT, the value itself, which is then pushed on to. Once much was made in
 * vain, only small ones. index: of the value in from. */
static bool attempt(copy_walk *w, int index, int results)
{
    bool first = w->made.values == 0; /* nothing else used the limits up */
    const char *limit = NULL;
    if (w->target->copies.spoiled <= cap_of(w)) {
        narrow(w, 4);
        bool good = call_member(w, results);
        widen(w);
        if (good)
            return true;
        limit = w->limit;
        relieve(w);
    }
    if (call_small(w, results))
        return true;
    mqlua_copy_lose(w, limit);
    if (!limit || first)
        mqlua_copy_refuse(w, index);
    return false;
}

static void copy_each(copy_walk *w)
{
    lua_State *from = w->from;
    lua_pushnil(from);
    while (lua_next(from, VALUE)) {
        size_t before = mqlua_copy_enter_key(w, VALUE + 1);
        attempt(w, VALUE + 2, 0);
        mqlua_copy_leave_key(w, before);
        lua_pop(from, 1);
    }
}

/* The table at VALUE, on top of to. */
static void copy_root(copy_walk *w)
{
    lua_State *to = w->to;
    double number = mqlua_copy_number(w, VALUE);
    if (mqlua_copy_find_number(to, number)) {
        if (lua_istable(to, -1))
            return;
        lua_pop(to, 1); /* as a member of something else it was too large */
    }
    mqlua_copy_push_empty(w, VALUE, w->most.values);
    lua_replace(to, ROOT);
    lua_pushlightuserdata(to, (void *)lua_topointer(w->from, VALUE));
    lua_pushvalue(to, ROOT);
    lua_rawset(to, SEEN);
    copy_each(w);
    if (number != 0) {
        lua_pushnumber(to, number);
        lua_pushvalue(to, ROOT);
        lua_rawset(to, KNOWN);
    }
    lua_pushvalue(to, ROOT);
}

static int copy_into(lua_State *to)
{
    copy_walk *w = lua_touserdata(to, WALK);
    w->to = to;
    mqlua_copy_push_known(to, w, &w->target->copies.known, "v");
    lua_newtable(to); /* SEEN */
    lua_pushnil(to);  /* ROOT */
    lua_pushcfunction(to, l_copy_member);
    lua_pushcfunction(to, mqlua_copy_l_refuse);
    if (lua_istable(w->from, VALUE))
        copy_root(w);
    else if (!attempt(w, VALUE, 1))
        return 0;
    if (!lua_isnil(to, -1))
        w->copied = mqlua_refs_add(to);
    return 0;
}

/* Protected in from, where all stack that is needed is taken first: an error raised in from while to is
 * running would unwind past to's protected call. */
static int copy_out(lua_State *from)
{
    copy_walk *w = lua_touserdata(from, 1);
    w->from = from;
    w->source->reserve += w->source->limits.memory / 8; /* for numbers: it may be full */
    luaL_checkstack(from, COPY_DEPTH * 2 + 20, NULL);
    lua_pushcfunction(from, mqlua_copy_l_number);
    mqlua_copy_push_known(from, w, &w->source->copies.numbers, "k");
    lua_rawgeti(from, LUA_REGISTRYINDEX, w->reference);
    lua_gc(from, LUA_GCSTOP, 0); /* addresses stay, and no finalizer changes what is walked over */
    w->failed = mqlua_vm_setup(w->target, copy_into, w, &w->error) != 0;
    lua_gc(from, LUA_GCRESTART, 0);
    return 0;
}

bool mqlua_copy_reference(mqlua_copy *copy, mqlua_vm *from, int reference, mqlua_vm *to, int *copied,
                          char **error)
{
    copy_walk w = {.copy = copy,
                   .source = from,
                   .target = to,
                   .reference = reference,
                   .copied = LUA_NOREF,
                   .cap = to->limits.memory,
                   .most = {(size_t)to->limits.values, to->limits.bytes}};
    copy->path[0] = copy->lost_path[0] = copy->lost[0] = '\0';
    copy->type = NULL;
    bool good = mqlua_vm_setup(from, copy_out, &w, error) == 0;
    widen(&w);
    if (good && w.failed) {
        *error = w.error;
        good = false;
    }
    relieve(&w);
    *copied = good ? w.copied : LUA_NOREF;
    return good;
}
