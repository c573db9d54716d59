/* SPDX-License-Identifier: MIT */

#include "vm/calls_internal.h"
#include "vm/refs.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Functions in which an instruction is known to be what it is: the nth of the chunk, or of its first inner
 * function. */
static const struct {
    int opcode;
    const char *text;
    bool inner;
    int at;
} examples[] = {
    {MQLUA_OP_GGET, "t.f()", false, 1},
    {MQLUA_OP_TGETS, "t.f()", false, 2},
    {MQLUA_OP_CALL, "t.f()", false, 3},
    {MQLUA_OP_CALLM, "t.f(...)", false, 4},
    {MQLUA_OP_CALLT, "return t.f()", false, 3},
    {MQLUA_OP_CALLMT, "return t.f(...)", false, 4},
    {MQLUA_OP_IST, "return t.f() or t.g()", false, 4},
    {MQLUA_OP_ISF, "return t.f() and t.g()", false, 4},
    {MQLUA_OP_JMP, "return t.f() or t.g()", false, 5},
    {MQLUA_OP_UCLO, "local v = t.f() local function g() return v end return 1", false, 6},
    {MQLUA_OP_UGET, "local v return function() return v end", true, 1},
    {MQLUA_OP_RET1, "local v return function() return v end", true, 2},
    {MQLUA_OP_KSTR, "t.f('a')", false, 3},
    {MQLUA_OP_KSHORT, "t.f(1)", false, 3},
    {MQLUA_OP_TSETS, "return function(a) a.b = 'c' end", true, 2},
    {MQLUA_OP_TGETV, "return function(a, b) return a[b] end", true, 1},
    {MQLUA_OP_TSETV, "return function(a, b) a[b] = 'c' end", true, 2},
    {MQLUA_OP_ISEQS, "return function(a) if a ~= 'b' then t() end end", true, 1},
    {MQLUA_OP_ISNES, "return function(a) if a == 'b' then t() end end", true, 1},
    {MQLUA_OP_ISEQP, "return function(a) if a ~= nil then t() end end", true, 1},
    {MQLUA_OP_ISNEP, "return function(a) if a == nil then t() end end", true, 1},
    {MQLUA_OP_RET0, "", false, 1},
    {MQLUA_OP_RET, "local v return v, v", false, 4},
    {MQLUA_OP_MOV, "local v local w = v", false, 2},
    {MQLUA_OP_ISEQV, "return function(a, b) if a ~= b then t() end end", true, 1},
    {MQLUA_OP_ISNEV, "return function(a, b) if a == b then t() end end", true, 1},
    {MQLUA_OP_USETS, "local v return function() v = 'a' end", true, 1},
};

/* ---- one function, at an index of the stack ---- */

static void ask(mqlua_calls *calls, const char *name, int function, int number, int results)
{
    lua_State *L = calls->L;
    lua_rawgeti(L, LUA_REGISTRYINDEX, calls->util);
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
    lua_pushvalue(L, function);
    lua_pushinteger(L, number);
    lua_call(L, 2, results);
}

void mqlua_calls_ask(mqlua_calls *calls, const char *name, int function, int number)
{
    ask(calls, name, function, number, 1);
}

bool mqlua_calls_fetch(mqlua_calls *calls, int function, int pc, mqlua_instruction *ins)
{
    ask(calls, "funcbc", function, pc, 2);
    bool there = lua_type(calls->L, -2) == LUA_TNUMBER;
    unsigned word = there ? (unsigned)(int)lua_tonumber(calls->L, -2) : 0;
    *ins = (mqlua_instruction){(int)(word & 0xff), (int)(word >> 8 & 0xff), (int)(word >> 24),
                               (int)(word >> 16), there ? (int)lua_tointeger(calls->L, -1) : 0};
    lua_pop(calls->L, 2);
    return there;
}

bool mqlua_calls_is(const mqlua_calls *calls, const mqlua_instruction *ins, int opcode)
{
    return ins->opcode == calls->opcodes[opcode];
}

const char *mqlua_calls_text(mqlua_calls *calls, int function, int number, size_t *size)
{
    mqlua_calls_ask(calls, "funck", function, -number - 1);
    const char *text = lua_type(calls->L, -1) == LUA_TSTRING ? lua_tolstring(calls->L, -1, size) : NULL;
    lua_pop(calls->L, 1);
    return text;
}

static bool is_named(const char *name, const mqlua_calls *calls)
{
    return name && strcmp(name, calls->table) == 0;
}

/* Does the instruction load the table? */
static bool loads_table(mqlua_calls *calls, int function, const mqlua_instruction *ins)
{
    if (mqlua_calls_is(calls, ins, MQLUA_OP_GGET))
        return is_named(mqlua_calls_text(calls, function, ins->d, NULL), calls);
    if (!mqlua_calls_is(calls, ins, MQLUA_OP_UGET))
        return false;
    mqlua_calls_ask(calls, "funcuvname", function, ins->d);
    bool named = lua_type(calls->L, -1) == LUA_TSTRING && is_named(lua_tostring(calls->L, -1), calls);
    lua_pop(calls->L, 1);
    return named;
}

int mqlua_calls_target(int pc, const mqlua_instruction *jump)
{
    return pc + 1 + jump->d - 0x8000;
}

/* Is the value in a register, which is true in a condition, returned alone by what comes from pc on? */
static bool is_returned(mqlua_calls *calls, int function, int pc, int slot)
{
    mqlua_instruction ins;
    for (int steps = 0; steps < 100 && mqlua_calls_fetch(calls, function, pc, &ins); steps++) {
        if (mqlua_calls_is(calls, &ins, MQLUA_OP_RET1))
            return ins.a == slot;
        if (mqlua_calls_is(calls, &ins, MQLUA_OP_UCLO) || mqlua_calls_is(calls, &ins, MQLUA_OP_JMP))
            pc = mqlua_calls_target(pc, &ins);
        else if (mqlua_calls_is(calls, &ins, MQLUA_OP_IST) && ins.d == slot)
            pc++; /* to the jump behind it */
        else
            return false;
    }
    return false;
}

/* The function is in a register, and arguments are in those above it: the next use of the register is its
 * call, or it is not called from there. (IST and ISF have no register where the
 * others have theirs.) */
static mqlua_call_use find_use(mqlua_calls *calls, int function, int pc, int slot)
{
    mqlua_instruction ins;
    while (mqlua_calls_fetch(calls, function, pc++, &ins) &&
           (ins.a != slot || mqlua_calls_is(calls, &ins, MQLUA_OP_IST) ||
            mqlua_calls_is(calls, &ins, MQLUA_OP_ISF)))
        ;
    if (mqlua_calls_is(calls, &ins, MQLUA_OP_CALLT) || mqlua_calls_is(calls, &ins, MQLUA_OP_CALLMT))
        return MQLUA_CALL_RETURNED;
    if (!mqlua_calls_is(calls, &ins, MQLUA_OP_CALL) && !mqlua_calls_is(calls, &ins, MQLUA_OP_CALLM))
        return MQLUA_CALL_USED;
    if (ins.b == 1)
        return MQLUA_CALL_DROPPED;
    return ins.b == 2 && is_returned(calls, function, pc, slot) ? MQLUA_CALL_RETURNED : MQLUA_CALL_USED;
}

void mqlua_calls_each_inner(mqlua_calls *calls, int function, void (*inner)(mqlua_calls *calls, void *ud),
                            void *ud)
{
    lua_State *L = calls->L;
    luaL_checkstack(L, 20, "functions inside of each other");
    mqlua_calls_ask(calls, "funcinfo", function, 0);
    lua_getfield(L, -1, "gcconsts");
    int constants = (int)lua_tointeger(L, -1);
    lua_pop(L, 2);
    for (int i = 1; i <= constants; i++) {
        mqlua_calls_ask(calls, "funck", function, -i);
        if (strcmp(luaL_typename(L, -1), "proto") == 0)
            inner(calls, ud);
        lua_pop(L, 1);
    }
}

void mqlua_calls_place(mqlua_calls *calls, int function, int pc, const char **source, int *line)
{
    lua_State *L = calls->L;
    mqlua_calls_ask(calls, "funcinfo", function, pc);
    lua_getfield(L, -1, "source");
    lua_getfield(L, -2, "currentline");
    *source = lua_tostring(L, -2);
    *line = (int)lua_tointeger(L, -1);
    lua_pop(L, 3);
}

/* ---- a function and those inside of it ---- */

typedef struct reading {
    mqlua_calls *calls;
    const void *bytes;
    size_t size;
    void (*visit)(void *ud, const mqlua_call *call);
    void *ud;
} reading;

static void visit(reading *r, int function, int pc, mqlua_call *call)
{
    mqlua_calls_place(r->calls, function, pc, &call->source, &call->line);
    r->visit(r->ud, call);
}

static void read_code(reading *r, int function, bool inner)
{
    mqlua_calls *calls = r->calls;
    mqlua_instruction ins, next;
    for (int pc = 1; mqlua_calls_fetch(calls, function, pc, &ins); pc++) {
        mqlua_call call = {.inner = inner, .use = MQLUA_CALL_RETURNED};
        if (!inner && mqlua_calls_is(calls, &ins, MQLUA_OP_UGET) &&
            is_returned(calls, function, pc + 1, ins.a)) {
            call.upvalue = ins.d + 1;
            visit(r, function, pc, &call);
        } else if (loads_table(calls, function, &ins) && mqlua_calls_fetch(calls, function, pc + 1, &next) &&
                   mqlua_calls_is(calls, &next, MQLUA_OP_TGETS) && next.b == ins.a && next.a == ins.a) {
            call.name = mqlua_calls_text(calls, function, next.d & 0xff, NULL);
            call.use = find_use(calls, function, pc + 2, next.a);
            if (call.name)
                visit(r, function, pc + 1, &call);
        }
    }
}

static void read_inner(mqlua_calls *calls, void *ud)
{
    int function = lua_gettop(calls->L);
    read_code(ud, function, true);
    mqlua_calls_each_inner(calls, function, read_inner, ud);
}

static int read_all(lua_State *L)
{
    reading *r = lua_touserdata(L, 1);
    if (luaL_loadbuffer(L, r->bytes, r->size, "="))
        return lua_error(L);
    int function = lua_gettop(L);
    read_code(r, function, false);
    mqlua_calls_each_inner(r->calls, function, read_inner, r);
    return 0;
}

bool mqlua_calls_read(mqlua_calls *calls, const void *bytes, size_t size,
                      void (*visit_call)(void *ud, const mqlua_call *call), void *ud)
{
    reading r = {.calls = calls, .bytes = bytes, .size = size, .visit = visit_call, .ud = ud};
    return mqlua_vm_setup(calls->vm, read_all, &r, NULL) == 0;
}

/* ---- functions of other states ---- */

typedef struct dump {
    char *bytes;
    size_t size;
} dump;

static int append(lua_State *L, const void *data, size_t size, void *ud)
{
    dump *d = ud;
    char *bytes = realloc(d->bytes, d->size + size);
    if (!bytes)
        return 1;
    memcpy(bytes + d->size, data, size);
    d->bytes = bytes;
    d->size += size;
    return 0;
}

char *mqlua_calls_dump(lua_State *L, size_t *size)
{
    dump d = {0};
    bool good = lua_dump(L, append, &d) == 0;
    if (!good)
        free(d.bytes);
    *size = d.size;
    return good ? d.bytes : NULL;
}

bool mqlua_calls_read_function(mqlua_calls *calls, lua_State *L,
                               void (*visit_call)(void *ud, const mqlua_call *call), void *ud)
{
    size_t size;
    char *bytes = mqlua_calls_dump(L, &size);
    bool good = bytes && mqlua_calls_read(calls, bytes, size, visit_call, ud);
    free(bytes);
    return good;
}

/* ---- the reader ---- */

/* Keeps jit.util, which lies where require would find it. */
static void open_util(mqlua_calls *calls)
{
    lua_State *L = calls->L;
    lua_getfield(L, LUA_REGISTRYINDEX, "_PRELOAD");
    lua_getfield(L, -1, "jit.util");
    lua_pushstring(L, "jit.util");
    lua_call(L, 1, 1);
    calls->util = mqlua_refs_add(L);
}

static int learn(lua_State *L)
{
    mqlua_calls *calls = lua_touserdata(L, 1);
    open_util(calls);
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        mqlua_instruction ins;
        if (luaL_loadstring(L, examples[i].text))
            return lua_error(L);
        if (examples[i].inner)
            mqlua_calls_ask(calls, "funck", lua_gettop(L), -1);
        if (!mqlua_calls_fetch(calls, lua_gettop(L), examples[i].at, &ins))
            return lua_error(L); /* nobody sees which */
        calls->opcodes[examples[i].opcode] = ins.opcode;
        if (examples[i].opcode == MQLUA_OP_KSHORT) { /* the table is loaded to where the function will be */
            int argument = ins.a;
            mqlua_calls_fetch(calls, lua_gettop(L), 1, &ins);
            calls->first = argument - ins.a;
        }
        lua_settop(L, 1);
    }
    return 0;
}

static void count_dropped(void *ud, const mqlua_call *call)
{
    if (call->name && strcmp(call->name, "f") == 0 && call->use == MQLUA_CALL_DROPPED)
        ++*(int *)ud;
}

/* The opcodes must differ, and what they were learnt for must be found with them. */
static int prove(lua_State *L)
{
    mqlua_calls *calls = lua_touserdata(L, 1);
    for (int i = 0; i < MQLUA_OPCODES; i++)
        for (int j = 0; j < i; j++)
            if (calls->opcodes[i] == calls->opcodes[j])
                return lua_error(L);
    int dropped = 0;
    const char *t = calls->table,
               *text = lua_pushfstring(L, "local v = %s.f() %s.f() return %s.f()", t, t, t);
    if (luaL_loadstring(L, text) || !mqlua_calls_read_function(calls, L, count_dropped, &dropped) ||
        dropped != 1)
        return lua_error(L);
    return 0;
}

mqlua_calls *mqlua_calls_new(const char *table)
{
    static const mqlua_vm_limits limits = {.allow = MQLUA_ALLOW_JIT | MQLUA_ALLOW_BYTECODE};
    mqlua_calls *calls = calloc(1, sizeof *calls);
    if (!calls)
        return NULL;
    calls->table = strdup(table);
    calls->vm = mqlua_vm_new(&limits);
    calls->L = calls->vm ? mqlua_vm_state(calls->vm) : NULL;
    if (calls->table && calls->vm && mqlua_vm_setup(calls->vm, learn, calls, NULL) == 0 &&
        mqlua_vm_setup(calls->vm, prove, calls, NULL) == 0)
        return calls;
    mqlua_calls_free(calls);
    return NULL;
}

void mqlua_calls_free(mqlua_calls *calls)
{
    if (!calls)
        return;
    mqlua_vm_free(calls->vm);
    free(calls->table);
    free(calls);
}
