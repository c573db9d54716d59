/* SPDX-License-Identifier: MIT */

#include "vm/call_patterns.h"
#include "vm/calls_internal.h"
#include <string.h>

/* From a function to its call: what is further away has arguments that nobody can follow here. */
enum { FURTHEST = 60 };

typedef struct reading {
    mqlua_calls *calls;
    const void *bytes;
    size_t size;
    void (*visit)(void *ud, const mqlua_call_pattern *pattern);
    void *ud;
} reading;

static bool takes_pattern(const char *name)
{
    static const char *const names[] = {"find", "match", "gmatch", "gsub"};
    for (size_t i = 0; name && i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* Does the field that is read at pc, from what the instruction before has loaded, belong to a text? It does
 * for text:find(...), which copies the text to its place as first argument, and for the library of that name.
 */
static bool is_of_text(mqlua_calls *calls, int function, int pc, const mqlua_instruction *field)
{
    mqlua_instruction before;
    if (pc < 2 || !mqlua_calls_fetch(calls, function, pc - 1, &before))
        return false;
    if (mqlua_calls_is(calls, &before, MQLUA_OP_MOV))
        return before.d == field->b && before.a == field->a + calls->first;
    if (!mqlua_calls_is(calls, &before, MQLUA_OP_GGET) || before.a != field->b)
        return false;
    const char *name = mqlua_calls_text(calls, function, before.d, NULL);
    return name && strcmp(name, "string") == 0;
}

/* The second argument of the function in the register slot, read at pc: a constant, or NULL. */
static const char *find_pattern(mqlua_calls *calls, int function, int pc, int slot, const char *name,
                                size_t *size)
{
    mqlua_instruction ins;
    const char *text = NULL;
    for (int end = pc + FURTHEST; pc < end && mqlua_calls_fetch(calls, function, pc, &ins); pc++) {
        if (mqlua_calls_is(calls, &ins, MQLUA_OP_JMP))
            return NULL;
        if (mqlua_calls_is(calls, &ins, MQLUA_OP_UCLO)) /* its register is none of the arguments */
            continue;
        if (ins.a == slot) { /* its call; the number of arguments is in the lower byte of D, and one more */
            bool fixed = mqlua_calls_is(calls, &ins, MQLUA_OP_CALL);
            int arguments = (ins.d & 0xff) - 1;
            if (mqlua_calls_is(calls, &ins, MQLUA_OP_CALLT)) {
                fixed = true;
                arguments = ins.d - 1;
            }
            bool plain = strcmp(name, "find") == 0 && arguments > 3;
            return fixed && !plain ? text : NULL;
        }
        if (ins.a == slot + calls->first + 1)
            text = mqlua_calls_is(calls, &ins, MQLUA_OP_KSTR) ? mqlua_calls_text(calls, function, ins.d, size)
                                                              : NULL;
    }
    return NULL;
}

static void read_code(reading *r, int function)
{
    mqlua_calls *calls = r->calls;
    mqlua_instruction ins;
    for (int pc = 1; mqlua_calls_fetch(calls, function, pc, &ins); pc++) {
        if (!mqlua_calls_is(calls, &ins, MQLUA_OP_TGETS))
            continue;
        mqlua_call_pattern pattern = {.function = mqlua_calls_text(calls, function, ins.d & 0xff, NULL)};
        if (!takes_pattern(pattern.function) || !is_of_text(calls, function, pc, &ins))
            continue;
        pattern.text = find_pattern(calls, function, pc + 1, ins.a, pattern.function, &pattern.size);
        if (!pattern.text)
            continue;
        mqlua_calls_place(calls, function, pc, &pattern.source, &pattern.line);
        r->visit(r->ud, &pattern);
    }
}

/* The function on top, and those inside of it. */
static void read_function(mqlua_calls *calls, void *ud)
{
    int function = lua_gettop(calls->L);
    read_code(ud, function);
    mqlua_calls_each_inner(calls, function, read_function, ud);
}

static int read_all(lua_State *L)
{
    reading *r = lua_touserdata(L, 1);
    if (luaL_loadbuffer(L, r->bytes, r->size, "="))
        return lua_error(L);
    read_function(r->calls, r);
    return 0;
}

bool mqlua_call_patterns(mqlua_calls *calls, const void *bytes, size_t size,
                         void (*visit)(void *ud, const mqlua_call_pattern *pattern), void *ud)
{
    reading r = {.calls = calls, .bytes = bytes, .size = size, .visit = visit, .ud = ud};
    return mqlua_vm_setup(calls->vm, read_all, &r, NULL) == 0;
}
