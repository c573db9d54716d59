/* SPDX-License-Identifier: MIT */

#include "vm/calls.h"
#include "vm/refs.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    GGET,
    TGETS,
    UGET,
    CALL,
    CALLM,
    CALLT,
    CALLMT,
    IST,
    ISF,
    JMP,
    UCLO,
    RET1,
    KSTR,
    KSHORT,
    TSETS,
    TGETV,
    TSETV,
    ISEQS,
    ISNES,
    ISEQP,
    ISNEP,
    RET0,
    OPCODES
};

struct mqlua_calls {
    mqlua_vm *vm;
    lua_State *L; /* its main state */
    char *table;
    int opcodes[OPCODES];
    int first; /* registers from that of a function to its first argument */
    int util;  /* registry: jit.util */
};

/* Functions in which an instruction is known to be what it is: the nth of the chunk, or of its first inner
 * function. */
static const struct {
    int opcode;
    const char *text;
    bool inner;
    int at;
} examples[] = {
    {GGET, "t.f()", false, 1},
    {TGETS, "t.f()", false, 2},
    {CALL, "t.f()", false, 3},
    {CALLM, "t.f(...)", false, 4},
    {CALLT, "return t.f()", false, 3},
    {CALLMT, "return t.f(...)", false, 4},
    {IST, "return t.f() or t.g()", false, 4},
    {ISF, "return t.f() and t.g()", false, 4},
    {JMP, "return t.f() or t.g()", false, 5},
    {UCLO, "local v = t.f() local function g() return v end return 1", false, 6},
    {UGET, "local v return function() return v end", true, 1},
    {RET1, "local v return function() return v end", true, 2},
    {KSTR, "t.f('a')", false, 3},
    {KSHORT, "t.f(1)", false, 3},
    {TSETS, "return function(a) a.b = 'c' end", true, 2},
    {TGETV, "return function(a, b) return a[b] end", true, 1},
    {TSETV, "return function(a, b) a[b] = 'c' end", true, 2},
    {ISEQS, "return function(a) if a ~= 'b' then t() end end", true, 1},
    {ISNES, "return function(a) if a == 'b' then t() end end", true, 1},
    {ISEQP, "return function(a) if a ~= nil then t() end end", true, 1},
    {ISNEP, "return function(a) if a == nil then t() end end", true, 1},
    {RET0, "", false, 1},
};

/* ---- one function, at an index of the stack ---- */

/* Calls jit.util's NAME(function, number) and leaves its first result. */
static void ask(mqlua_calls *calls, const char *name, int function, int number)
{
    lua_State *L = calls->L;
    lua_rawgeti(L, LUA_REGISTRYINDEX, calls->util);
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
    lua_pushvalue(L, function);
    lua_pushinteger(L, number);
    lua_call(L, 2, 1);
}

typedef struct instruction {
    int opcode, a, b, d;
} instruction;

/* False behind the last instruction. */
static bool fetch(mqlua_calls *calls, int function, int pc, instruction *ins)
{
    ask(calls, "funcbc", function, pc);
    bool there = lua_type(calls->L, -1) == LUA_TNUMBER;
    unsigned word = there ? (unsigned)(int)lua_tonumber(calls->L, -1) : 0;
    lua_pop(calls->L, 1);
    *ins = (instruction){(int)(word & 0xff), (int)(word >> 8 & 0xff), (int)(word >> 24), (int)(word >> 16)};
    return there;
}

static bool is(const mqlua_calls *calls, const instruction *ins, int opcode)
{
    return ins->opcode == calls->opcodes[opcode];
}

/* A constant of the function: a text that lives as long as it, or NULL. */
static const char *text_constant(mqlua_calls *calls, int function, int number, size_t *size)
{
    ask(calls, "funck", function, -number - 1);
    const char *text = lua_type(calls->L, -1) == LUA_TSTRING ? lua_tolstring(calls->L, -1, size) : NULL;
    lua_pop(calls->L, 1);
    return text;
}

static bool is_named(const char *name, const mqlua_calls *calls)
{
    return name && strcmp(name, calls->table) == 0;
}

/* Does the instruction load the table? */
static bool loads_table(mqlua_calls *calls, int function, const instruction *ins)
{
    if (is(calls, ins, GGET))
        return is_named(text_constant(calls, function, ins->d, NULL), calls);
    if (!is(calls, ins, UGET))
        return false;
    ask(calls, "funcuvname", function, ins->d);
    bool named = lua_type(calls->L, -1) == LUA_TSTRING && is_named(lua_tostring(calls->L, -1), calls);
    lua_pop(calls->L, 1);
    return named;
}

/* The constant that an instruction loads, or MQLUA_CONSTANT_UNKNOWN. */
static mqlua_constant constant(mqlua_calls *calls, int function, const instruction *ins)
{
    mqlua_constant k = {MQLUA_CONSTANT_UNKNOWN, NULL, 0, 0};
    if (is(calls, ins, KSHORT)) {
        k.type = MQLUA_CONSTANT_NUMBER;
        k.number = (int)(int16_t)ins->d;
    } else if (is(calls, ins, KSTR) && (k.text = text_constant(calls, function, ins->d, &k.size))) {
        k.type = MQLUA_CONSTANT_TEXT;
    }
    return k;
}

/* Where a jump from pc leads to. */
static int target(int pc, const instruction *jump)
{
    return pc + 1 + jump->d - 0x8000;
}

/* Is the value in a register, which is true in a condition, returned alone by what comes from pc on? */
static bool is_returned(mqlua_calls *calls, int function, int pc, int slot)
{
    instruction ins;
    for (int steps = 0; steps < 100 && fetch(calls, function, pc, &ins); steps++) {
        if (is(calls, &ins, RET1))
            return ins.a == slot;
        if (is(calls, &ins, UCLO) || is(calls, &ins, JMP))
            pc = target(pc, &ins);
        else if (is(calls, &ins, IST) && ins.d == slot)
            pc++; /* to the jump behind it */
        else
            return false;
    }
    return false;
}

/* The function is in a register, and arguments are in those above it: the next use of the register is its
 * call, or it is not called from there. (IST and ISF have no register where the others have theirs.) */
static mqlua_call_use find_use(mqlua_calls *calls, int function, int pc, int slot)
{
    instruction ins;
    while (fetch(calls, function, pc++, &ins) &&
           (ins.a != slot || is(calls, &ins, IST) || is(calls, &ins, ISF)))
        ;
    if (is(calls, &ins, CALLT) || is(calls, &ins, CALLMT))
        return MQLUA_CALL_RETURNED;
    if (!is(calls, &ins, CALL) && !is(calls, &ins, CALLM))
        return MQLUA_CALL_USED;
    if (ins.b == 1)
        return MQLUA_CALL_DROPPED;
    return ins.b == 2 && is_returned(calls, function, pc, slot) ? MQLUA_CALL_RETURNED : MQLUA_CALL_USED;
}

/* How many arguments a call has for certain; 0 for what is no call. */
static int count_arguments(const mqlua_calls *calls, const instruction *ins)
{
    if (is(calls, ins, CALL))
        return (ins->d & 0xff) - 1;
    if (is(calls, ins, CALLM))
        return ins->d & 0xff;
    if (is(calls, ins, CALLT))
        return ins->d - 1;
    return is(calls, ins, CALLMT) ? ins->d : 0;
}

/* The arguments of the call of the function in a register. The register of an argument is written once when
 * it is a constant, and more than once when it is what several ways lead to. */
static void find_arguments(mqlua_calls *calls, int function, int pc, int slot, mqlua_call *call)
{
    int writes[MQLUA_CALL_ARGUMENTS] = {0};
    mqlua_constant found[MQLUA_CALL_ARGUMENTS] = {{MQLUA_CONSTANT_UNKNOWN, NULL, 0, 0}};
    instruction ins;
    for (; fetch(calls, function, pc, &ins); pc++) {
        int argument = ins.a - slot - calls->first;
        if (ins.a == slot && !is(calls, &ins, IST) && !is(calls, &ins, ISF))
            break;
        if (argument >= 0 && argument < MQLUA_CALL_ARGUMENTS && writes[argument]++ == 0)
            found[argument] = constant(calls, function, &ins);
    }
    int count = count_arguments(calls, &ins);
    for (int i = 0; i < count && i < MQLUA_CALL_ARGUMENTS; i++)
        if (writes[i] == 1)
            call->arguments[i] = found[i];
}

/* ---- a function and those inside of it ---- */

typedef struct reading {
    mqlua_calls *calls;
    const void *bytes;
    size_t size;
    void (*visit)(void *ud, const mqlua_call *call);
    void *ud;
    int parameters; /* of the function that is read */
    bool kept[2];   /* the first of them are never assigned */
} reading;

static void visit(reading *r, int function, int pc, mqlua_call *call)
{
    lua_State *L = r->calls->L;
    ask(r->calls, "funcinfo", function, pc);
    lua_getfield(L, -1, "source");
    lua_getfield(L, -2, "currentline");
    call->source = lua_tostring(L, -2);
    call->line = (int)lua_tointeger(L, -1);
    r->visit(r->ud, call);
    lua_pop(L, 3);
}

/* Does the function leave what was in a register at its begin there? (A closure may assign, too.) */
static bool is_kept(mqlua_calls *calls, int function, int slot)
{
    static const int readers[] = {TSETS, TSETV, ISEQS, ISNES, ISEQP, ISNEP, IST, ISF, UCLO, RET0};
    instruction ins;
    for (int pc = 1; fetch(calls, function, pc, &ins); pc++) {
        bool reads = ins.a != slot;
        for (size_t i = 0; !reads && i < sizeof readers / sizeof *readers; i++)
            reads = is(calls, &ins, readers[i]);
        if (!reads)
            return false;
    }
    return true;
}

/* Writes what a register holds before the instruction at pc: a parameter, or what the instructions right in
 * front take from one. False for anything else. */
static bool find_path(const reading *r, int function, int pc, int slot, char *path, size_t size)
{
    const char *fields[4];
    int depth = 0;
    instruction ins;
    while (pc > 1 && depth < 4 && fetch(r->calls, function, pc - 1, &ins) && ins.a == slot &&
           is(r->calls, &ins, TGETS)) {
        fields[depth] = text_constant(r->calls, function, ins.d & 0xff, NULL);
        if (!fields[depth++])
            return false;
        slot = ins.b;
        pc--;
    }
    if (slot >= r->parameters || slot >= 2 || !r->kept[slot])
        return false;
    int used = snprintf(path, size, "%d", slot + 1);
    while (depth && used > 0 && (size_t)used < size)
        used += snprintf(path + used, size - (size_t)used, ".%s", fields[--depth]);
    return used > 0 && (size_t)used < size;
}

/* What is done with parameters. */
static void read_values(reading *r, int function, int pc, const instruction *ins)
{
    mqlua_calls *calls = r->calls;
    char path[100];
    instruction before;
    mqlua_call call = {.use = MQLUA_CALL_USED, .path = path};
    bool found = false;
    if (is(calls, ins, TSETS) && pc > 1 && fetch(calls, function, pc - 1, &before) && before.a == ins->a) {
        const char *field = text_constant(calls, function, ins->d & 0xff, NULL);
        call.what = MQLUA_CALL_SET;
        call.arguments[0] = constant(calls, function, &before);
        found = field && call.arguments[0].type && find_path(r, function, pc - 1, ins->b, path, sizeof path);
        size_t used = found ? strlen(path) : 0;
        if (found)
            snprintf(path + used, sizeof path - used, ".%s", field);
    } else if (is(calls, ins, ISEQS) || is(calls, ins, ISNES)) {
        call.what = MQLUA_CALL_COMPARED;
        call.arguments[0].type = MQLUA_CONSTANT_TEXT;
        call.arguments[0].text = text_constant(calls, function, ins->d, &call.arguments[0].size);
        found = call.arguments[0].text && find_path(r, function, pc, ins->a, path, sizeof path);
    } else if (is(calls, ins, TGETV) || is(calls, ins, TSETV)) {
        call.what = MQLUA_CALL_KEY;
        found = find_path(r, function, pc, ins->d & 0xff, path, sizeof path);
    }
    if (found)
        visit(r, function, pc, &call);
}

/* Which parameters of a function are what they were. */
static void find_kept(reading *r, int function)
{
    lua_State *L = r->calls->L;
    ask(r->calls, "funcinfo", function, 0);
    lua_getfield(L, -1, "params");
    r->parameters = (int)lua_tointeger(L, -1);
    lua_pop(L, 2);
    for (int slot = 0; slot < 2; slot++)
        r->kept[slot] = slot < r->parameters && is_kept(r->calls, function, slot);
}

static void read_code(reading *r, int function, bool inner)
{
    mqlua_calls *calls = r->calls;
    instruction ins, next;
    if (!inner)
        find_kept(r, function);
    for (int pc = 1; fetch(calls, function, pc, &ins); pc++) {
        if (!inner)
            read_values(r, function, pc, &ins);
        mqlua_call call = {.inner = inner, .use = MQLUA_CALL_RETURNED};
        if (!inner && is(calls, &ins, UGET) && is_returned(calls, function, pc + 1, ins.a)) {
            call.upvalue = ins.d + 1;
            visit(r, function, pc, &call);
        } else if (loads_table(calls, function, &ins) && fetch(calls, function, pc + 1, &next) &&
                   is(calls, &next, TGETS) && next.b == ins.a && next.a == ins.a) {
            call.name = text_constant(calls, function, next.d & 0xff, NULL);
            call.use = find_use(calls, function, pc + 2, next.a);
            find_arguments(calls, function, pc + 2, next.a, &call);
            if (call.name)
                visit(r, function, pc + 1, &call);
        }
    }
}

static void read_function(reading *r, int function, bool inner)
{
    lua_State *L = r->calls->L;
    luaL_checkstack(L, 10, "functions inside of each other");
    read_code(r, function, inner);
    ask(r->calls, "funcinfo", function, 0);
    lua_getfield(L, -1, "gcconsts");
    int constants = (int)lua_tointeger(L, -1);
    lua_pop(L, 2);
    for (int i = 1; i <= constants; i++) {
        ask(r->calls, "funck", function, -i);
        if (strcmp(luaL_typename(L, -1), "proto") == 0)
            read_function(r, lua_gettop(L), true);
        lua_pop(L, 1);
    }
}

static int read_all(lua_State *L)
{
    reading *r = lua_touserdata(L, 1);
    if (luaL_loadbuffer(L, r->bytes, r->size, "="))
        return lua_error(L);
    read_function(r, lua_gettop(L), false);
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

bool mqlua_calls_read_function(mqlua_calls *calls, lua_State *L,
                               void (*visit_call)(void *ud, const mqlua_call *call), void *ud)
{
    dump d = {0};
    bool good = lua_dump(L, append, &d) == 0 && mqlua_calls_read(calls, d.bytes, d.size, visit_call, ud);
    free(d.bytes);
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
        instruction ins;
        if (luaL_loadstring(L, examples[i].text))
            return lua_error(L);
        if (examples[i].inner)
            ask(calls, "funck", lua_gettop(L), -1);
        if (!fetch(calls, lua_gettop(L), examples[i].at, &ins))
            return lua_error(L); /* nobody sees which */
        calls->opcodes[examples[i].opcode] = ins.opcode;
        if (examples[i].opcode == KSHORT) { /* the table is loaded to where the function will be */
            int argument = ins.a;
            fetch(calls, lua_gettop(L), 1, &ins);
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
    for (int i = 0; i < OPCODES; i++)
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
