/* SPDX-License-Identifier: MIT */

/*
 * A register holds a fact or is unknown. The facts at an instruction are what all ways to it agree on; they
 * only ever get fewer, so going over the function until nothing changes ends.
 */

#include "vm/flow.h"
#include "vm/calls_internal.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    UNKNOWN,         /* a fact's number: none */
    UNREACHED = 255, /* likewise: of an instruction that no way leads to, so far */
    FACTS = 255,
    REGISTERS = 256,
    LARGEST = 4000000, /* bytes of facts of one function */
    ROUNDS = 50,
    PLACE = 200,
};

/* Parts of an instruction's mode: what LuaJIT says that its operands are. */
enum { MODE_DST = 1, MODE_BASE = 2, MODE_VAR = 3, MODE_UPVALUE = 5, MODE_JUMP = 13 };

typedef struct fact {
    enum { TEXT, NUMBER, PARAMETER, UPVALUE, GLOBAL, FIELD } kind;
    const char *text; /* of a text, the name of a global or of a field, the place of a parameter */
    size_t size;
    int number; /* of a number, an upvalue; of a field: what it is a field of */
    bool tested;
} fact;

typedef struct flow {
    mqlua_calls *calls;
    const char *bytes;
    size_t size;
    const mqlua_value *parameters;
    int parameter_count;
    void (*visit)(void *ud, const mqlua_use *use);
    void *ud;

    int function; /* index of the stack */
    mqlua_instruction *code;
    int count, slots; /* instructions and registers */
    uint8_t *facts;   /* count * slots */
    fact known[FACTS];
    int known_count;
    bool shared; /* functions inside of it assign its locals */
    bool changed;
} flow;

/* ---- facts ---- */

static uint8_t know(flow *f, fact wanted)
{
    for (int i = 1; i < f->known_count; i++) {
        const fact *k = &f->known[i];
        if (k->kind == wanted.kind && k->number == wanted.number && k->size == wanted.size &&
            (k->text == wanted.text || (k->text && wanted.text && !memcmp(k->text, wanted.text, k->size))))
            return (uint8_t)i;
    }
    if (f->known_count == FACTS)
        return UNKNOWN;
    f->known[f->known_count] = wanted;
    return (uint8_t)f->known_count++;
}

static uint8_t know_text(flow *f, int kind, const char *text, int number)
{
    return text ? know(f, (fact){kind, text, strlen(text), number, false}) : UNKNOWN;
}

static uint8_t know_parameter(flow *f, const mqlua_value *value)
{
    switch (value->type) {
    case MQLUA_VALUE_TEXT:
        return know(f, (fact){TEXT, value->text, value->size, 0, false});
    case MQLUA_VALUE_NUMBER:
        return know(f, (fact){NUMBER, NULL, 0, value->number, false});
    case MQLUA_VALUE_PLACE:
        return know_text(f, PARAMETER, value->text, 0);
    default:
        return UNKNOWN;
    }
}

static const char assigned[] = "assigned upvalues"; /* in the registry of the reader's vm */

static uint8_t know_upvalue(flow *f, int number)
{
    lua_State *L = f->calls->L;
    int top = lua_gettop(L);
    mqlua_calls_ask(f->calls, "funcuvname", f->function, number);
    lua_getfield(L, LUA_REGISTRYINDEX, assigned);
    bool fixed = lua_type(L, -2) == LUA_TSTRING;
    if (fixed && lua_istable(L, -1)) {
        lua_pushvalue(L, -2);
        lua_rawget(L, -2);
        fixed = lua_isnil(L, -1);
    }
    lua_settop(L, top);
    return fixed ? know(f, (fact){UPVALUE, NULL, 0, number + 1, false}) : UNKNOWN;
}

/* False: it is no place, or has a longer name than places should. */
static bool write_place(const flow *f, int number, char *place, size_t size)
{
    const fact *k = &f->known[number];
    int used;
    if (number == UNKNOWN || k->kind == TEXT || k->kind == NUMBER)
        return false;
    if (k->kind == UPVALUE)
        used = snprintf(place, size, "^%d", k->number);
    else if (k->kind == PARAMETER)
        used = snprintf(place, size, "%s", k->text);
    else if (k->kind == GLOBAL)
        used = snprintf(place, size, "_G.%s", k->text);
    else if (write_place(f, k->number, place, size))
        used = snprintf(place + strlen(place), size - strlen(place), ".%s", k->text);
    else
        return false;
    return used >= 0 && (size_t)used < size && strlen(place) < size - 1;
}

static mqlua_value value_of(const flow *f, int number, char *place, size_t size)
{
    const fact *k = &f->known[number];
    mqlua_value value = {.tested = k->tested};
    if (write_place(f, number, place, size)) {
        value.type = MQLUA_VALUE_PLACE;
        value.text = place;
        value.size = strlen(place);
    } else if (number != UNKNOWN && k->kind == NUMBER) {
        value.type = MQLUA_VALUE_NUMBER;
        value.number = k->number;
    } else if (number != UNKNOWN && k->kind == TEXT) {
        value.type = MQLUA_VALUE_TEXT;
        value.text = k->text;
        value.size = k->size;
    }
    return value;
}

/* ---- one instruction ---- */

static bool is(const flow *f, const mqlua_instruction *ins, int opcode)
{
    return mqlua_calls_is(f->calls, ins, opcode);
}

static bool is_call(const flow *f, const mqlua_instruction *ins)
{
    return is(f, ins, MQLUA_OP_CALL) || is(f, ins, MQLUA_OP_CALLM) || is(f, ins, MQLUA_OP_CALLT) ||
           is(f, ins, MQLUA_OP_CALLMT);
}

static uint8_t result(flow *f, const mqlua_instruction *ins, const uint8_t *registers)
{
    if (is(f, ins, MQLUA_OP_MOV))
        return registers[ins->d];
    if (is(f, ins, MQLUA_OP_KSHORT))
        return know(f, (fact){NUMBER, NULL, 0, (int16_t)ins->d, false});
    if (is(f, ins, MQLUA_OP_KSTR)) {
        size_t size = 0;
        const char *text = mqlua_calls_text(f->calls, f->function, ins->d, &size);
        return text ? know(f, (fact){TEXT, text, size, 0, false}) : UNKNOWN;
    }
    if (is(f, ins, MQLUA_OP_GGET))
        return know_text(f, GLOBAL, mqlua_calls_text(f->calls, f->function, ins->d, NULL), 0);
    if (is(f, ins, MQLUA_OP_UGET))
        return know_upvalue(f, ins->d);
    if (is(f, ins, MQLUA_OP_TGETS)) {
        int from = registers[ins->b];
        if (from == UNKNOWN || f->known[from].kind == TEXT || f->known[from].kind == NUMBER)
            return UNKNOWN;
        return know_text(f, FIELD, mqlua_calls_text(f->calls, f->function, ins->d & 0xff, NULL), from);
    }
    return UNKNOWN;
}

static void execute(flow *f, const mqlua_instruction *ins, uint8_t *registers)
{
    int what = ins->mode & 7;
    if (f->shared && (is_call(f, ins) || what == MODE_BASE))
        memset(registers, UNKNOWN, (size_t)f->slots);
    if (what == MODE_DST)
        registers[ins->a] = result(f, ins, registers);
    else if (what == MODE_BASE) /* a call, a loop, several values: locals are below it */
        memset(registers + ins->a, UNKNOWN, (size_t)(f->slots - ins->a));
}

/* ---- all ways ---- */

static uint8_t *at(const flow *f, int pc)
{
    return f->facts + (size_t)(pc - 1) * (size_t)f->slots;
}

static void lead(flow *f, int pc, const uint8_t *registers)
{
    if (pc < 1 || pc > f->count)
        return;
    uint8_t *there = at(f, pc);
    for (int i = 0; i < f->slots; i++) {
        uint8_t now = there[i] == UNREACHED || there[i] == registers[i] ? registers[i] : UNKNOWN;
        f->changed |= now != there[i];
        there[i] = now;
    }
}

static bool jumps(const mqlua_instruction *ins)
{
    return (ins->mode >> 7 & 15) == MODE_JUMP;
}

static bool ends(const flow *f, const mqlua_instruction *ins)
{
    return is(f, ins, MQLUA_OP_RET) || is(f, ins, MQLUA_OP_RET0) || is(f, ins, MQLUA_OP_RET1) ||
           is(f, ins, MQLUA_OP_CALLT) || is(f, ins, MQLUA_OP_CALLMT);
}

/* In front of a jump, where it may be passed over: a condition. Some others are taken for one, which only
 * makes less known. */
static bool is_condition(const flow *f, int pc)
{
    static const int others[] = {MQLUA_OP_MOV,   MQLUA_OP_KSTR, MQLUA_OP_KSHORT, MQLUA_OP_GGET,
                                 MQLUA_OP_TGETS, MQLUA_OP_UGET, MQLUA_OP_CALL,   MQLUA_OP_CALLM,
                                 MQLUA_OP_TSETS, MQLUA_OP_TSETV};
    if (pc >= f->count || !is(f, &f->code[pc], MQLUA_OP_JMP)) /* code[pc] is the next one */
        return false;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (is(f, &f->code[pc - 1], others[i]))
            return false;
    return true;
}

static void step(flow *f, int pc)
{
    const mqlua_instruction *ins = &f->code[pc - 1];
    uint8_t registers[REGISTERS];
    if (at(f, pc)[0] == UNREACHED)
        return;
    memcpy(registers, at(f, pc), (size_t)f->slots);
    execute(f, ins, registers);
    if (jumps(ins))
        lead(f, mqlua_calls_target(pc, ins), registers);
    if (is_condition(f, pc))
        lead(f, pc + 2, registers);
    if (!ends(f, ins) && !is(f, ins, MQLUA_OP_JMP) && !is(f, ins, MQLUA_OP_UCLO))
        lead(f, pc + 1, registers);
}

static void begin(flow *f)
{
    uint8_t registers[REGISTERS] = {UNKNOWN};
    memset(f->facts, UNREACHED, (size_t)f->count * (size_t)f->slots);
    for (int i = 0; i < f->parameter_count && i < f->slots; i++)
        registers[i] = know_parameter(f, &f->parameters[i]);
    lead(f, 1, registers);
}

/* False: it takes too long. */
static bool settle(flow *f)
{
    begin(f);
    for (int round = 0; round < ROUNDS; round++) {
        f->changed = false;
        for (int pc = 1; pc <= f->count; pc++)
            step(f, pc);
        if (!f->changed)
            return true;
    }
    return false;
}

/* ---- what is done with facts ---- */

static void test(flow *f, int number)
{
    if (number != UNKNOWN)
        f->known[number].tested = true;
}

static void find_tested(flow *f)
{
    for (int pc = 1; pc <= f->count; pc++) {
        const mqlua_instruction *ins = &f->code[pc - 1];
        const uint8_t *registers = at(f, pc);
        if (registers[0] == UNREACHED || !is_condition(f, pc))
            continue;
        if ((ins->mode & 7) == MODE_VAR && ins->a < f->slots)
            test(f, registers[ins->a]);
        if ((ins->mode >> 7 & 15) == MODE_VAR && ins->d < f->slots)
            test(f, registers[ins->d]);
    }
}

static void tell(flow *f, int pc, mqlua_use *use)
{
    mqlua_calls_place(f->calls, f->function, pc, &use->source, &use->line);
    f->visit(f->ud, use);
}

/* How many arguments a call has for certain. */
static int count_arguments(const flow *f, const mqlua_instruction *ins)
{
    if (is(f, ins, MQLUA_OP_CALL))
        return (ins->d & 0xff) - 1;
    if (is(f, ins, MQLUA_OP_CALLM))
        return ins->d & 0xff;
    return is(f, ins, MQLUA_OP_CALLT) ? ins->d - 1 : ins->d;
}

static void see_call(flow *f, int pc, const mqlua_instruction *ins, const uint8_t *registers)
{
    char place[PLACE], places[MQLUA_FLOW_VALUES][PLACE];
    mqlua_use use = {.what = MQLUA_USE_CALL, .place = place};
    if (!write_place(f, registers[ins->a], place, sizeof place))
        return;
    use.count = count_arguments(f, ins);
    for (int i = 0; i < use.count && i < MQLUA_FLOW_VALUES; i++) {
        int slot = ins->a + f->calls->first + i;
        if (slot < f->slots)
            use.values[i] = value_of(f, registers[slot], places[i], PLACE);
    }
    tell(f, pc, &use);
}

/* Something is done to a place, and perhaps with a value. */
static void see(flow *f, int pc, mqlua_use_what what, int from, const char *field, const mqlua_value *value)
{
    char place[PLACE];
    mqlua_use use = {.what = what, .place = place, .count = value != NULL};
    if (!write_place(f, from, place, sizeof place))
        return;
    size_t used = strlen(place);
    if (field && (size_t)snprintf(place + used, PLACE - used, ".%s", field) >= PLACE - used)
        return;
    if (value)
        use.values[0] = *value;
    tell(f, pc, &use);
}

static void look(flow *f, int pc)
{
    const mqlua_instruction *ins = &f->code[pc - 1];
    const uint8_t *registers = at(f, pc);
    char place[PLACE];
    if (registers[0] == UNREACHED)
        return;
    if (is_call(f, ins)) {
        see_call(f, pc, ins, registers);
    } else if (is(f, ins, MQLUA_OP_TSETS)) {
        const char *field = mqlua_calls_text(f->calls, f->function, ins->d & 0xff, NULL);
        mqlua_value value = value_of(f, registers[ins->a], place, sizeof place);
        if (field)
            see(f, pc, MQLUA_USE_SET, registers[ins->b], field, &value);
    } else if (is(f, ins, MQLUA_OP_ISEQS) || is(f, ins, MQLUA_OP_ISNES)) {
        mqlua_value value = {.type = MQLUA_VALUE_TEXT};
        value.text = mqlua_calls_text(f->calls, f->function, ins->d, &value.size);
        if (value.text)
            see(f, pc, MQLUA_USE_COMPARE, registers[ins->a], NULL, &value);
    } else if (is(f, ins, MQLUA_OP_ISEQV) || is(f, ins, MQLUA_OP_ISNEV)) {
        int sides[] = {registers[ins->a], ins->d < f->slots ? registers[ins->d] : UNKNOWN};
        for (int i = 0; i < 2; i++) {
            mqlua_value value = value_of(f, sides[1 - i], place, sizeof place);
            see(f, pc, MQLUA_USE_COMPARE, sides[i], NULL, &value);
        }
    } else if (is(f, ins, MQLUA_OP_TGETV) || is(f, ins, MQLUA_OP_TSETV)) {
        see(f, pc, MQLUA_USE_KEY, registers[ins->d & 0xff], NULL, NULL);
    }
}

/* ---- a function ---- */

/* Adds the names of the upvalues that the function on top assigns, and those inside of it, to the table at
 * *ud; sets *ud to 0 where that is -1 and there are any. */
static void find_assigned(mqlua_calls *calls, void *ud)
{
    lua_State *L = calls->L;
    int function = lua_gettop(L), *table = ud;
    mqlua_instruction ins;
    for (int pc = 1; mqlua_calls_fetch(calls, function, pc, &ins); pc++) {
        if ((ins.mode & 7) != MODE_UPVALUE)
            continue;
        if (*table <= 0) {
            *table = 0;
            continue;
        }
        mqlua_calls_ask(calls, "funcuvname", function, ins.a);
        if (lua_type(L, -1) == LUA_TSTRING) {
            lua_pushboolean(L, 1);
            lua_rawset(L, *table);
        }
        lua_settop(L, function);
    }
    mqlua_calls_each_inner(calls, function, find_assigned, ud);
}

static int learn_assigned(lua_State *L)
{
    flow *f = lua_touserdata(L, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, assigned);
    if (lua_isnil(L, -1)) {
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setfield(L, LUA_REGISTRYINDEX, assigned);
        lua_remove(L, -2);
    }
    int table = lua_gettop(L);
    if (luaL_loadbuffer(L, f->bytes, f->size, "="))
        return lua_error(L);
    find_assigned(f->calls, &table);
    return 0;
}

bool mqlua_flow_learn(mqlua_calls *calls, const void *bytes, size_t size)
{
    flow f = {.calls = calls, .bytes = bytes, .size = size};
    return mqlua_vm_setup(calls->vm, learn_assigned, &f, NULL) == 0;
}

/* Fetches the code of the function. Memory that the collector owns: what follows may raise. False: too large
 * to be followed. */
static bool fetch_code(flow *f)
{
    lua_State *L = f->calls->L;
    mqlua_instruction ins;
    while (mqlua_calls_fetch(f->calls, f->function, f->count + 1, &ins))
        f->count++;
    mqlua_calls_ask(f->calls, "funcinfo", f->function, 0);
    lua_getfield(L, -1, "stackslots");
    f->slots = (int)lua_tointeger(L, -1);
    lua_pop(L, 2);
    if (!f->count || f->slots < 1 || f->slots > REGISTERS || f->count > LARGEST / f->slots)
        return false;
    f->code = lua_newuserdata(L, (size_t)f->count * sizeof *f->code);
    f->facts = lua_newuserdata(L, (size_t)f->count * (size_t)f->slots);
    for (int pc = 1; pc <= f->count; pc++)
        mqlua_calls_fetch(f->calls, f->function, pc, &f->code[pc - 1]);
    return true;
}

static int read_flow(lua_State *L)
{
    flow *f = lua_touserdata(L, 1);
    int none = -1;
    if (luaL_loadbuffer(L, f->bytes, f->size, "="))
        return lua_error(L);
    f->function = lua_gettop(L);
    mqlua_calls_each_inner(f->calls, f->function, find_assigned, &none);
    f->shared = none == 0;
    if (!fetch_code(f) || !settle(f))
        return 0;
    find_tested(f);
    for (int pc = 1; pc <= f->count; pc++)
        look(f, pc);
    return 0;
}

bool mqlua_flow_read(mqlua_calls *calls, lua_State *L, const mqlua_value *parameters, int count,
                     void (*visit)(void *ud, const mqlua_use *use), void *ud)
{
    flow f = {.calls = calls,
              .parameters = parameters,
              .parameter_count = count,
              .visit = visit,
              .ud = ud,
              .known_count = 1};
    char *bytes = mqlua_calls_dump(L, &f.size);
    f.bytes = bytes;
    bool good = bytes && mqlua_vm_setup(calls->vm, read_flow, &f, NULL) == 0;
    free(bytes);
    return good;
}
