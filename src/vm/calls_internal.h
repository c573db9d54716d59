/* SPDX-License-Identifier: MIT */
#pragma once

/* How compiled functions are read: what vm/calls.c, vm/call_patterns.c and vm/flow.c share. All of it in a
 * protected call of the reader's vm. */

#include "vm/calls.h"
#include <lauxlib.h>

enum {
    MQLUA_OP_GGET,
    MQLUA_OP_TGETS,
    MQLUA_OP_UGET,
    MQLUA_OP_CALL,
    MQLUA_OP_CALLM,
    MQLUA_OP_CALLT,
    MQLUA_OP_CALLMT,
    MQLUA_OP_IST,
    MQLUA_OP_ISF,
    MQLUA_OP_JMP,
    MQLUA_OP_UCLO,
    MQLUA_OP_RET1,
    MQLUA_OP_KSTR,
    MQLUA_OP_KSHORT,
    MQLUA_OP_TSETS,
    MQLUA_OP_TGETV,
    MQLUA_OP_TSETV,
    MQLUA_OP_ISEQS,
    MQLUA_OP_ISNES,
    MQLUA_OP_ISEQP,
    MQLUA_OP_ISNEP,
    MQLUA_OP_RET0,
    MQLUA_OP_RET,
    MQLUA_OP_MOV,
    MQLUA_OP_ISEQV,
    MQLUA_OP_ISNEV,
    MQLUA_OP_USETS,
    MQLUA_OPCODES
};

struct mqlua_calls {
    mqlua_vm *vm;
    lua_State *L; /* its main state */
    char *table;
    int opcodes[MQLUA_OPCODES];
    int first; /* registers from that of a function to its first argument */
    int util;  /* registry: jit.util */
};

typedef struct mqlua_instruction {
    int opcode, a, b, d;
    int mode; /* as LuaJIT's lj_bc.h has it */
} mqlua_instruction;

/* Calls jit.util's NAME(function, number) and leaves its first result. function is an index of the stack. */
void mqlua_calls_ask(mqlua_calls *calls, const char *name, int function, int number);

/* False behind the last instruction. */
bool mqlua_calls_fetch(mqlua_calls *calls, int function, int pc, mqlua_instruction *ins);

bool mqlua_calls_is(const mqlua_calls *calls, const mqlua_instruction *ins, int opcode);

/* A constant of the function: a text that lives as long as it, or NULL. */
const char *mqlua_calls_text(mqlua_calls *calls, int function, int number, size_t *size);

/* Where a jump from pc leads to. */
int mqlua_calls_target(int pc, const mqlua_instruction *jump);

/* Calls inner for each function right inside of the one at an index of the stack, with it on top. */
void mqlua_calls_each_inner(mqlua_calls *calls, int function, void (*inner)(mqlua_calls *calls, void *ud),
                            void *ud);

/* Where an instruction stands. *source lives as long as the function. */
void mqlua_calls_place(mqlua_calls *calls, int function, int pc, const char **source, int *line);

/* The bytecode of the Lua function on top of L's stack, malloc'ed; NULL for another function, or on lack of
 * memory. Does not raise. */
char *mqlua_calls_dump(lua_State *L, size_t *size);
