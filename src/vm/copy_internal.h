/* SPDX-License-Identifier: MIT */
#pragma once

/* The inside of vm/copy.h, shared by the files copy*.c. */

#include "vm/copy.h"
#include "vm/vm_internal.h"

/* Of tables in tables; what is deeper is left out. */
enum { COPY_DEPTH = 100 };

/* Where things are on the stack of to. FRESH is what one member remembers: it becomes part of KNOWN and SEEN
 * when the member is complete, so that nobody ever gets a table that was made in half. */
enum {
    WALK = 1,
    KNOWN,               /* numbers -> copies, of this and earlier calls; nil: there are no numbers */
    SEEN,                /* addresses -> copies, of this call */
    ROOT,                /* the copy of a table whose members are copied one by one; nil: of something else */
    FRESH,               /* within a member: numbers and addresses -> copies; nil: none yet */
    COPY_MEMBER = FRESH, /* outside: l_copy_member, */
    REFUSE,              /* and mqlua_copy_l_refuse */
};

/* Where things are on the stack of from. */
enum { GIVE_NUMBER = 2, NUMBERS, VALUE };

typedef struct copy_amount {
    size_t values, bytes;
} copy_amount;

typedef struct copy_walk {
    mqlua_copy *copy;
    mqlua_vm *source, *target;
    int reference, copied;
    lua_State *from, *to;
    bool failed;
    int depth;
    char path[MQLUA_COPY_PATH];
    size_t path_size;
    char *error;            /* of to */
    copy_amount made, most; /* most: 0 is no limit */
    const char *limit;      /* that a member went beyond; NULL: memory */
    mqlua_vm *narrow;       /* target, while its cap is lowered */
    size_t cap, reserve, pace;
    bool refused;
    void (*crowded)(void *ud, bool refused);
} copy_walk;

/* ---- copy_known.c: which tables are there already ---- */

/* Pushes the table of L that *reference stands for, which is made if need be with this __mode; nil where
 * copy->numbers is NULL. Raises in L. */
void mqlua_copy_push_known(lua_State *L, const copy_walk *w, int *reference, const char *mode);

/* Lua functions that are put on the stacks while memory may be asked for, see GIVE_NUMBER and REFUSE. The
 * first takes the walk, a table of from and the table of numbers, and gives the table the next number. The
 * second takes the table of copies and a number, and marks what has the number as too large. */
int mqlua_copy_l_number(lua_State *from);
int mqlua_copy_l_refuse(lua_State *to);

/* The number of the table at index of from; 0: there are none, or no memory for one. Never raises. */
double mqlua_copy_number(copy_walk *w, int index);

/* Push the copy of what is at that address of from, or of the table with that number, and are true; or push
 * nothing. Too large a table has false in place of a copy. Never raise. */
bool mqlua_copy_find_address(lua_State *to, const void *address);
bool mqlua_copy_find_number(lua_State *to, double number);

/* The copy on top of to belongs to the member that is being copied. Raises in to. */
void mqlua_copy_remember(lua_State *to, const void *address, double number);

/* The member is complete: what it remembers is for all. Raises in to. */
void mqlua_copy_keep_fresh(lua_State *to);

/* The value at index of from was too much: nobody tries again. Never raises. */
void mqlua_copy_refuse(copy_walk *w, int index);

/* ---- copy_value.c: values, counted before they are made ---- */

/* Pushes a copy of the value at index of from on to; false, and nothing pushed, when it is left out. Raises
 * in to. */
bool mqlua_copy_value(copy_walk *w, int index);

/* Pushes copies of key and value at key and behind it in from; false, and nothing pushed: left out. Raises in
 * to. */
bool mqlua_copy_pair(copy_walk *w, int key);

/* Pushes a table that has room for the members of the one at index, so that it never grows: LuaJIT may lose
 * members of a table that cannot. limit: for so many at most; 0: for all. Raises in to. */
void mqlua_copy_push_empty(copy_walk *w, int index, size_t limit);

/* The path goes on with the key at that index of from, and back to what enter gave. Never raise. */
size_t mqlua_copy_enter_key(copy_walk *w, int key);
void mqlua_copy_leave_key(copy_walk *w, size_t before);

/* What is at the path is left out for that reason; NULL: there is no memory for it. Never raises. */
void mqlua_copy_lose(copy_walk *w, const char *reason);
